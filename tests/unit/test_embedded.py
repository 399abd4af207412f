"""Embedded checkpoints: found, or one line that says how to get them."""

from pathlib import Path

import pytest

from rats_train import embedded
from rats_train.errors import UserError


def test_recipe_paths_become_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_CHECKPOINTS", tmp_path)
    for name in ("teacher", "reward_b"):
        (tmp_path / name).mkdir()
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert embedded.teacher_folder("embedded") == tmp_path / "teacher"
    assert embedded.teacher_folder("models/mine") == Path("models/mine")
    assert embedded.reward_folder("embedded:b") == tmp_path / "reward_b"
    assert embedded.reward_folder("models/mine") == Path("models/mine")


def test_checkpoints_are_found_or_the_command_that_builds_them_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_CHECKPOINTS", tmp_path)
    (tmp_path / "reward_a").mkdir()
    assert embedded.reward_dir("a") == tmp_path / "reward_a"
    with pytest.raises(UserError, match="rats world build"):
        embedded.teacher_dir()
    with pytest.raises(UserError, match="embedded:a or embedded:b"):
        embedded.reward_dir("c")
