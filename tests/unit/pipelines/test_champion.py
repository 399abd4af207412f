"""Which package `rats serve` serves, over a real MLflow."""

import os
import shutil

import pytest

from components.shared.workspace import WORKSPACE_VARIABLE
from pipelines.champion import champion_package
from pipelines.runs import create_run
from rats_train.errors import UserError
from rats_train.files import write_json
from tests.simulated_students import simulated_student
from tests.tracked_students import Registry, empty_tracker  # noqa: F401

SCORES = simulated_student(0, "any", prompts=8)


@pytest.fixture
def registry(empty_tracker, tmp_path, monkeypatch):  # noqa: F811
    shutil.copy(empty_tracker, tmp_path / "mlflow.db")
    monkeypatch.setenv(WORKSPACE_VARIABLE, "elsewhere")
    return Registry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)


@pytest.fixture
def packaged(tmp_path):
    """The package of the student whose evaluation has a key, made at a time."""

    def made(key, when):
        run = create_run(tmp_path, "emoji", {"recipe": "emoji"})
        (run / "package").mkdir()
        write_json(run / "steps" / "evaluate_rewards.json", {"key": key})
        os.utime(run, (when, when))
        return run / "package"

    return made


def test_the_champion_serves_and_after_a_rollback_the_one_before(registry, packaged, tmp_path):
    old, new = packaged("k1", when=1), packaged("k2", when=2)
    registry.students.promote(registry.enter(SCORES, "k1"))
    assert champion_package(tmp_path) == old  # though a newer package is there
    registry.students.promote(registry.enter(SCORES, "k2"))
    assert champion_package(tmp_path) == new
    registry.students.roll_back()
    assert champion_package(tmp_path) == old


def test_the_same_files_packaged_again_are_the_champions(registry, packaged, tmp_path):
    registry.students.promote(registry.enter(SCORES, "k1"))
    registry.enter(SCORES, "k2", digest="k1")
    packaged("k1", when=1)
    again = packaged("k2", when=2)
    assert champion_package(tmp_path) == again


def test_without_a_champion_or_its_package_it_says_what_to_do(registry, packaged, tmp_path):
    newest = packaged("k1", when=1)
    with pytest.raises(UserError, match=rf"^rats-emoji has no champion [^\n]*`rats serve --repo {newest}`[^\n]*$"):
        champion_package(tmp_path)
    registry.students.promote(registry.enter(SCORES, "k0"))
    with pytest.raises(UserError, match=r"^The champion, rats-emoji version 1, has no package in [^\n]*$"):
        champion_package(tmp_path)
