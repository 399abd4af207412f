"""Versions and aliases in a real MLflow: promoting, taking back, and having nothing to take back."""

import shutil
from pathlib import Path

import pytest

from components.shared.students import CHALLENGER, CHAMPION, REPLACED_TAG
from components.shared.workspace import WORKSPACE_VARIABLE
from rats_train.errors import UserError
from tests.simulated_students import simulated_student
from tests.tracked_students import Registry, empty_tracker  # noqa: F401


@pytest.fixture
def registry(empty_tracker, tmp_path, monkeypatch):  # noqa: F811
    shutil.copy(empty_tracker, tmp_path / "mlflow.db")
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(tmp_path))
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    for key in ("k1", "k2", "k3"):
        registry.enter(simulated_student(0, key, prompts=8), key)
    return registry


def test_rolling_back_follows_the_chain_of_champions(registry):
    students = registry.students
    for number in (1, 2, 3):
        students.promote(students.version(number))
    assert students.version(3).tags[REPLACED_TAG] == "2"
    former, champion = students.roll_back()
    assert (int(former.version), int(champion.version), registry.number(CHAMPION)) == (3, 2, 2)
    assert students.rolled_back(students.version(3))
    assert not students.rolled_back(students.version(2))
    students.roll_back()
    assert registry.number(CHAMPION) == 1
    with pytest.raises(UserError, match="Version 1 is the first champion of rats-emoji: none was before it"):
        students.roll_back()


def test_promoting_by_hand_what_was_rolled_back_forgives_it(registry):
    students = registry.students
    for number in (1, 2):
        students.promote(students.version(number))
    students.roll_back()
    students.promote(students.version(2))
    assert registry.number(CHAMPION) == 2
    assert not students.rolled_back(students.version(2))
    assert int(students.roll_back()[1].version) == 1


def test_promoting_the_champion_again_keeps_who_was_before(registry):
    students = registry.students
    for number in (1, 2, 2):
        students.promote(students.version(number))
    assert students.version(2).tags[REPLACED_TAG] == "1"


def test_the_opponent_is_the_champion_or_for_the_champion_itself_the_one_before(registry):
    students = registry.students
    one, two, three = (students.version(number) for number in (1, 2, 3))
    assert students.opponent(one) is None
    students.promote(one)
    assert students.opponent(one) is None
    assert int(students.opponent(two).version) == 1
    students.promote(two)
    assert int(students.opponent(two).version) == 1
    assert int(students.opponent(three).version) == 2


def test_the_champion_is_no_challenger(registry):
    students = registry.students
    students.judged(students.version(1), "promote")
    assert registry.number(CHALLENGER) == 1
    students.promote(students.version(1))
    assert registry.number(CHALLENGER) is None
    students.judged(students.version(1), "promote")
    assert registry.number(CHALLENGER) is None


def test_a_version_that_is_not_there_is_one_clear_line(registry):
    with pytest.raises(UserError, match=r"rats-emoji has no version 7 in MLflow at sqlite:.*; it has 1, 2, 3"):
        registry.students.version(7)


def test_a_version_that_somebody_made_by_hand_has_nothing_to_judge(registry, tmp_path):
    students = registry.students
    version = students.client.create_model_version(students.model, "elsewhere")
    with pytest.raises(UserError, match=r"Version 4 of rats-emoji in MLflow belongs to no run, so it holds no student"):
        students.download(version, "student", tmp_path)


def test_a_download_finds_its_folder_made(registry, tmp_path, monkeypatch):
    """MLflow asks for it and refuses to download from a server otherwise; a store of files, as here, does not mind."""
    students, seen = registry.students, []

    def download(run_id, artifact, folder):
        seen.append(Path(folder).is_dir())
        return folder

    monkeypatch.setattr(students.client, "download_artifacts", download)
    students.download(students.version(1), "student", tmp_path / "champion" / "1")
    assert seen == [True]
