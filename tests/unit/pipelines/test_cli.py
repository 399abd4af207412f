"""The command line: every command shows an example, mistakes are one line with status 2, help answers at once."""

import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from rats_train.errors import UserError

COMMANDS = (
    *("plan", "run", "status", "evaluate", "package", "serve", "switch", "deploy", "world build", "compile", "doctor"),
    *("reward register", "reward list", "reward serve", "reward convert", "vote", "promote", "rollback"),
    *("schedule apply", "trigger serve", "cluster check", "cluster pipelines", "cluster keys"),
    *("verify-image", "keys add", "keys list", "keys revoke"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command):
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    assert f"Example: rats {command}" in shown.output


def rats(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments], capture_output=True, text=True, **options
    )


def test_help_imports_nothing_slow():
    began = time.monotonic()
    assert rats("--help").returncode == 0
    assert time.monotonic() - began < 3  # well under one second on an idle machine
    program = "import sys, pipelines.cli; print({'torch', 'kfp', 'mlflow', 'numpy', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--set", "training.stps=3"], "unknown key training.stps; did you mean steps?"),
        (["run", "--set", "training.steps=0"], "training.steps is 0; it must be greater than or equal to 1."),
        (["plan", "emojy"], "No recipe emojy"),
        (["run", "--set", "teacher.path=nowhere"], "teacher.path names nowhere, and there is no such folder"),
        (["status"], "No run latest in"),
        (["status", "monday"], "No run monday in"),
        (["serve"], "No package in"),
        (["vote", "monday", "tuesday"], "No run monday in"),
        (["plan", "--set", "rewards.heldout=[{name: b, path: b@latest}]"], "There is no registered reward b: make one"),
        (
            ["reward", "register", "a/b", "embedded:a", "--kind", "clip", "--licence", "MIT"],
            '"a/b" cannot name a reward',
        ),
        (["promote"], "rats-emoji has no challenger in MLflow at"),
        (["rollback"], "rats-emoji has no champion in MLflow at"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path, arguments, said):
    ended = rats(*arguments, "--workspace", str(tmp_path))
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "Traceback" not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["switch", ".", "7"], "has no version 7: it holds no packaged student"),
        (["switch", "."], "there is nothing to go back to"),
        (["package", ".", "--out", "models", "--adapter", "ink"], "--adapter is 'ink': write NAME=FOLDER"),
    ],
)
def test_mistakes_about_versions_are_one_line(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, arguments)
    assert isinstance(ended.exception, UserError)
    assert said in str(ended.exception)
