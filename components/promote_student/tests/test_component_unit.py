from pathlib import Path

import pytest
from kfp import dsl

from components.promote_student.component import promote_student
from components.shared.students import CHALLENGER, CHAMPION
from rats_train.evaluation.verdict import judge
from rats_train.files import read_json, write_json
from serving.keys import signing_keys
from serving.package.promotion import served
from serving.packaging.deployment import deploy
from serving.packaging.student import package_student
from tests.simulated_students import simulated_student
from tests.tracked_students import Registry


@pytest.fixture
def registry(tracker, tmp_path):
    registry = Registry(tracker, tmp_path)
    for key in ("k1", "k2", "k3"):
        registry.enter(simulated_student(0, key, prompts=8), key)
    return registry


@pytest.fixture
def promote(output, tmp_path):
    summary = output(dsl.Markdown, "summary")

    def promoted(version, opponent, heldout=0.5):
        students = [simulated_student(0, name, prompts=512, heldout=lift) for name, lift in (("a", heldout), ("b", 0))]
        judge(*students).write(tmp_path / "promotion" / "verdict.json")
        judged = {"model": "rats-emoji", "version": version, "opponent": opponent}
        write_json(tmp_path / "promotion" / "judged.json", judged)
        package = dsl.Model(uri=str(tmp_path / "package"))
        promote_student.python_func(dsl.Artifact(uri=str(tmp_path / "promotion")), package, summary)
        return Path(summary.path).read_text().splitlines()[0]

    return promoted


def test_it_moves_the_alias_and_says_who_was_before(promote, registry, workspace):
    registry.students.judged(registry.students.version(1), "promote")
    assert promote(1, None) == "# rats-emoji version 1 is champion, the first"
    assert (registry.number(CHAMPION), registry.number(CHALLENGER)) == (1, None)
    assert promote(2, 1) == "# rats-emoji version 2 is champion, after version 1"
    assert registry.number(CHAMPION) == 2
    assert promote(2, 1) == "# rats-emoji version 2 is the champion already"
    assert read_json(workspace / "steps" / "promote_student.json")["headline"].endswith("is the champion already")


def test_a_champion_that_came_in_between_is_worth_another_try(promote, registry, capsys):
    registry.students.promote(registry.students.version(3))
    with pytest.raises(SystemExit) as ended:
        promote(2, 1)
    assert ended.value.code == 75
    assert "the verdict is about version 1, and now it is 3. Run again." in capsys.readouterr().err
    assert registry.number(CHAMPION) == 3


def test_a_verdict_that_rejects_promotes_nobody(promote, registry, capsys):
    with pytest.raises(SystemExit) as ended:
        promote(1, None, heldout=-0.5)
    assert ended.value.code == 2
    assert registry.number(CHAMPION) is None


def test_its_package_is_served_where_the_cluster_says(promote, registry, tiny_student, tmp_path, monkeypatch):
    monkeypatch.setenv("RATS_MODELS", str(tmp_path / "models"))
    package_student(tiny_student, tmp_path / "package")
    promote(1, None)
    promote(1, None)
    assert served(tmp_path / "models" / "student") == 1
    package_student(tiny_student, tmp_path / "other", prompts=["two owls"])
    deploy(tmp_path / "other", tmp_path / "models", public_key=signing_keys().public)
    assert served(tmp_path / "models" / "student") == 2
    promote(1, None)
    assert served(tmp_path / "models" / "student") == 1


def test_a_package_that_was_changed_is_not_served(promote, registry, tiny_student, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RATS_MODELS", str(tmp_path / "models"))
    version = package_student(tiny_student, tmp_path / "package")
    with (version / "canary.png").open("ab") as file:
        file.write(b"x")
    with pytest.raises(SystemExit) as ended:
        promote(1, None)
    assert ended.value.code == 2
    assert "canary.png" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()
