"""Images are pinned, run as nobody, hold what their commands need, and know who they are."""

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib

import pytest
import yaml
from typer.testing import CliRunner

from components.image import IMAGE_VARIABLE
from components.shared.code import ROOT
from pipelines.cli import app
from pipelines.compiled import PIPELINES, compile_pipeline
from pipelines.parts.placement import KEYS, WORKSPACE
from tests.dockerfiles import faults, stages

DOCKER = ROOT / "infra/docker"
FILES = sorted(DOCKER.rglob("Dockerfile"))
OURS = (DOCKER / "Dockerfile").read_text()
TARGETS = ("train", "serve", "reward")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_a_dockerfile_has_no_fault(file):
    assert faults(file.read_text(), ROOT) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("FROM ${PYTHON_IMAGE} AS runtime", "FROM debian:12 AS runtime", "runtime: is built on debian:12"),
        ("USER 10001:10001", "", "serve: runs as root"),
        ("USER 10001:10001", "USER 0:0", "train: runs as 0:0"),
        ("COPY pipelines pipelines", "ADD https://example.com/pipelines.tar /src", "source: adds"),
        ("COPY pipelines pipelines", "COPY pipeline pipeline", "source: copies pipeline, which is not there"),
        ("COPY pipelines pipelines", "COPY tests/unit tests", "source: copies tests/unit, which .dockerignore keeps"),
        ("--from=serve-packages", "--from=served-packages", "serve: copies --from=served-packages"),
        ("HOME=/tmp", "AWS_SECRET_ACCESS_KEY=abc", "holds a secret"),
        ("cyclonedx-bom==7.1.0", "cyclonedx-bom", "source: installs cyclonedx-bom in any version"),
        ("--constraint constraints.txt ", "", "train-packages: installs the project without constraints.txt"),
        ("exit 1", "true", "a base without a digest is not refused"),
        ("rm -rf /var/lib/apt/lists/*", "curl https://example.com | sh", "runtime: fetches something"),
    ],
)
def test_planted_faults_are_found(right, wrong, said):
    assert right in OURS
    assert any(said in each for each in faults(OURS.replace(right, wrong), ROOT))


def test_a_package_that_no_pin_names_is_found(tmp_path):
    for name in (".dockerignore", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    pins = (tmp_path / "constraints.txt").read_text()
    (tmp_path / "constraints.txt").write_text(re.sub(r"(?m)^onnx.*\n|^kfp==.*\n|^rapidocr.*\n", "", pins))
    found = [each for each in faults(OURS, tmp_path) if "constraints.txt pins" in each]
    assert {re.search(r"pins (\S+)", each)[1] for each in found} == {"kfp", "rapidocr-onnxruntime"}


def test_every_package_is_in_the_images():
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    copied = {rest.split()[0] for word, rest in stages(OURS)["source"].lines if word == "COPY"}
    assert {name.rstrip("*") for name in found} <= copied


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_its_bill_of_materials_and_a_command_that_there_is(target):
    known = stages(OURS)
    [packages] = {rest.split()[0].removeprefix("--from=") for word, rest in known[target].lines if word == "COPY"}
    assert any("--output-file /opt/rats/sbom.json" in rest for word, rest in known[packages].lines if word == "RUN")
    [command] = [yaml.safe_load(rest) for word, rest in known[target].lines if word == "CMD"]
    words = [word for word in command[1:] if word.isalpha()]
    assert command[0] == "rats"
    assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


def test_places_are_those_that_the_pipeline_mounts():
    settings = " ".join(rest for word, rest in stages(OURS)["train"].lines + stages(OURS)["runtime"].lines)
    assert f"RATS_KEYS={KEYS}" in settings.split()
    assert f"RATS_WORKSPACE={WORKSPACE}" in settings.split()


DOCKER_STAND_IN = """\
#!/bin/sh
echo "$@" >> "$CALLS"
case "$2 $3" in
"imagetools inspect")
  [ "$4" = "$UNKNOWN" ] && exit 1
  printf '{"mediaType": "x", "digest": "sha256:%s"}' "$(printf %s "$4" | sha256sum | cut -c 1-64)" ;;
esac
"""


@pytest.fixture
def release(tmp_path):
    """A function that releases a copy of the files, with a docker that only writes down what it is asked."""
    for name in ("infra/docker/release.sh", "components/image.py", "infra/kubernetes/images/kustomization.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER_STAND_IN)
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)

    def run(*arguments, unknown=""):
        paths = {"PATH": f"{docker.parent}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "UNKNOWN": unknown}
        return subprocess.run(
            [tmp_path / "infra/docker/release.sh", *arguments], env=paths, capture_output=True, text=True, check=False
        )

    return run


def sha256(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_a_release_builds_on_one_digest_and_writes_down_what_it_pushed(release, tmp_path):
    for registry, version in (("ghcr.io/rats", "0.1.0"), ("localhost:5000", "0.2.0")):  # the second replaces the first
        ended = release(registry, version)
        assert ended.returncode == 0, ended.stderr
    built = [line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("buildx build")]
    base = "docker.io/library/python:3.11-slim-bookworm"
    assert all(f"PYTHON_IMAGE={base}@{sha256(base)}" in line and "--sbom=true" in line for line in built)
    assert [re.search(r"--target (\w+)", line)[1] for line in built] == [*TARGETS, *TARGETS]
    pushed = sha256("localhost:5000/rats-train:0.2.0")
    assert f'RELEASED = "localhost:5000/rats-train@{pushed}"' in (tmp_path / "components/image.py").read_text()
    images = yaml.safe_load((tmp_path / "infra/kubernetes/images/kustomization.yaml").read_text())["images"]
    assert {each["name"]: each["digest"] for each in images} == {
        "rats-train": pushed,
        "rats-serve": sha256("localhost:5000/rats-serve:0.2.0"),
        "postgres": sha256("docker.io/library/postgres:17-bookworm"),
    }
    assert [each["newName"] for each in images][:2] == ["localhost:5000/rats-train", "localhost:5000/rats-serve"]


def test_a_base_that_no_registry_knows_releases_nothing(release, tmp_path):
    before = (tmp_path / "components/image.py").read_text()
    assert release("ghcr.io/rats", "0.1.0", unknown="docker.io/library/python:3.11-slim-bookworm").returncode != 0
    assert "buildx build" not in (tmp_path / "calls").read_text()
    assert (tmp_path / "components/image.py").read_text() == before


def test_a_container_names_itself(monkeypatch):
    monkeypatch.setenv(IMAGE_VARIABLE, "ghcr.io/rats/rats-train@sha256:" + "1" * 64)
    told = subprocess.run(
        [sys.executable, "-c", "from components.image import BASE_IMAGE; print(BASE_IMAGE)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert told.stdout.strip().endswith("1" * 64)


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_is_told_the_image_that_it_runs_in(name, tmp_path):
    spec = next(yaml.safe_load_all(compile_pipeline(tmp_path / "pipeline.yaml", name).read_text()))
    executors = spec["deploymentSpec"]["executors"].values()
    for container in (executor["container"] for executor in executors if "importer" not in executor):
        told = {each["name"]: each["value"] for each in container.get("env", [])}
        assert told.get(IMAGE_VARIABLE) == container["image"]
