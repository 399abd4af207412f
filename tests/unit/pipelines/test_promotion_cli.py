"""`rats promote` and `rats rollback` over a real MLflow: what they do, and what they say of it."""

import shutil

import pytest
from typer.testing import CliRunner

from components.shared.students import CHALLENGER, CHAMPION
from components.shared.workspace import WORKSPACE_VARIABLE
from pipelines.cli import app
from pipelines.runs import create_run
from rats_train.errors import UserError
from rats_train.files import write_json
from tests.simulated_students import protocol, simulated_student
from tests.tracked_students import Registry, empty_tracker  # noqa: F401


@pytest.fixture
def registry(empty_tracker, tmp_path, monkeypatch):  # noqa: F811
    shutil.copy(empty_tracker, tmp_path / "mlflow.db")
    monkeypatch.setenv(WORKSPACE_VARIABLE, "elsewhere")
    monkeypatch.setenv("COLUMNS", "300")
    return Registry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)


@pytest.fixture
def rats(tmp_path):
    return lambda *words: CliRunner().invoke(app, [*words, "--workspace", str(tmp_path)])


def student(name, **shifts):
    return simulated_student(0, name, prompts=512, **shifts)


def said(result):
    return " ".join(result.output.split())


def test_a_challenger_that_earns_it_becomes_champion_and_rolls_back(registry, rats, tmp_path):
    registry.students.promote(registry.enter(student("old"), "k1"))
    registry.students.judged(registry.enter(student("new", heldout=0.5), "k2"), "promote")
    run = create_run(tmp_path, "emoji", {})
    (run / "package").mkdir()
    write_json(run / "steps" / "evaluate_rewards.json", {"key": "k1"})

    promoted = rats("promote", "emoji")
    assert promoted.exit_code == 0, promoted.output
    assert "Version 2 of rats-emoji is champion; version 1 was." in said(promoted)
    assert "held-out rewards at all budgets: +" in said(promoted)
    assert registry.number(CHAMPION) == 2

    back = rats("rollback", "emoji")
    assert back.exit_code == 0, back.output
    assert "Version 1 of rats-emoji is champion again; version 2 was." in said(back)
    assert "No run promotes version 2 any more; `rats promote emoji --version 2` judges it anew." in said(back)
    assert f"`rats serve --repo {run / 'package'}` serves it." in back.output.replace("\n", "")
    assert registry.number(CHAMPION) == 1

    again = rats("promote", "emoji", "--version", "2")
    assert again.exit_code == 0
    assert registry.number(CHAMPION) == 2
    assert not registry.students.rolled_back(registry.students.version(2))


def test_a_challenger_that_does_not_earn_it_stays_one(registry, rats):
    registry.students.promote(registry.enter(student("old"), "k1"))
    registry.students.judged(registry.enter(student("hacked", trained=0.6, heldout=-0.3), "k2"), "reject")
    refused = rats("promote", "emoji")
    assert refused.exit_code == 1
    assert "reward hacking: over the champion the trained reward_a rose" in said(refused)
    assert "rats-emoji version 2: reject." in said(refused)
    assert (registry.number(CHAMPION), registry.number(CHALLENGER)) == (1, 2)


def test_a_challenger_that_was_evaluated_otherwise_is_refused(registry, rats):
    registry.students.promote(registry.enter(student("old"), "k1"))
    other = student("new", heldout=0.5).model_copy(update={"protocol": protocol(512, prompts="q" * 64)})
    registry.enter(other, "k2")
    refused = rats("promote", "emoji", "--version", "2")
    assert isinstance(refused.exception, UserError)
    assert "cannot be compared" in str(refused.exception)
    assert "differ in prompts" in str(refused.exception)
    assert registry.number(CHAMPION) == 1


def test_the_champion_is_not_promoted_again(registry, rats):
    registry.students.promote(registry.enter(student("old"), "k1"))
    again = rats("promote", "emoji", "--version", "1")
    assert "Version 1 of rats-emoji is the champion already." in said(again)
