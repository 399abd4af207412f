"""The doctor: what it sees here is true, and every fault that it names comes with a cure."""

import shutil
import socket

import pytest
from packaging.requirements import Requirement

from pipelines.doctor import machine as doctor
from pipelines.doctor.findings import Finding
from rats_train.files import sha256_tree, write_json


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_here_the_environment_is_as_declared(tmp_path):
    found = by_name(doctor.examine(tmp_path / "not" / "there" / "yet"))
    for name in ("python", "packages", "libpython", "glibc", "triton server"):
        assert found[name].cure is None, found[name]
    assert "GiB free" in found["disk"].seen


def test_a_wrong_and_a_missing_package_are_named():
    needs = [Requirement("numpy<1"), Requirement("no-such-package"), Requirement("rich>=1")]
    wrong = list(doctor._unmet(needs))
    assert len(wrong) == 2
    assert wrong[0].startswith("numpy 1.26.4 is not <1")
    assert wrong[1] == "no-such-package is missing"


def test_every_requirement_of_a_local_run_is_looked_at():
    names = {need.name for need in doctor.declared_requirements()}
    assert {"torch", "kfp", "mlflow", "fastapi", "nvidia-pytriton", "numpy"} <= names


def test_a_taken_port_is_found():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert f"--port {port + 1}" in doctor._port(port).cure
    assert doctor._port(port).cure is None


def test_what_is_too_little_is_named_with_the_cure():
    assert doctor._room("disk", 2**30, 5 * 2**30, "free some space") == Finding(
        "disk", "1.0 GiB free, 5.0 needed", "free some space"
    )


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda monkeypatch: monkeypatch.setattr(doctor, "PYTHON", (3, 99)), "python"),
        (lambda monkeypatch: monkeypatch.setattr(doctor, "GLIBC", (9, 9)), "glibc"),
    ],
)
def test_another_machine_is_told_apart(monkeypatch, change, name):
    change(monkeypatch)
    found = {"python": doctor._python, "glibc": doctor._glibc}[name]()
    assert found.cure is not None


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """Embedded checkpoints of one file each, with their digests."""
    monkeypatch.setattr("rats_train.embedded._CHECKPOINTS", tmp_path)
    for name in ("teacher", "reward_a", "reward_b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
    write_json(tmp_path / doctor.DIGESTS, {path.name: sha256_tree(path) for path in tmp_path.iterdir()})
    return tmp_path


def test_changed_and_missing_checkpoints_are_named(checkpoints):
    assert doctor._checkpoints() == Finding("embedded checkpoints", "as committed")
    (checkpoints / "reward_b" / "weights").write_text("other")
    assert doctor._checkpoints().seen == "reward_b not as committed"
    shutil.rmtree(checkpoints / "teacher")
    assert "teacher is missing" in doctor._checkpoints().seen
    assert "git checkout" in doctor._checkpoints().cure
