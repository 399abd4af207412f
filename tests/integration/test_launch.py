"""The whole way through torchrun: signals, kills and mistakes arrive as this process's own errors."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from rats_train.config import Recipe, dump_recipe
from rats_train.engine.launch import launch
from rats_train.engine.records import read_lines
from rats_train.errors import RetryableError, UserError
from tests.integration.conftest import changed

LAUNCH = """
import sys
from rats_train.engine.launch import launch
from rats_train.errors import RetryableError, UserError
try:
    launch(*sys.argv[1:4], int(sys.argv[4]))
except (RetryableError, UserError) as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture(scope="module")
def recipe_file(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(dump_recipe(changed(tiny_recipe, "training", steps=20, checkpoint_every=5)))
    return path


@pytest.fixture(scope="module")
def whole(recipe_file: Path, tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return launch(recipe_file, tiny_store, tmp_path_factory.mktemp("whole"), 1)


def start(recipe: Path, store: Path, out: Path, world_size: int = 1) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", LAUNCH, str(recipe), str(store), str(out), str(world_size)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def steps_done(out: Path) -> int:
    return len(read_lines(out / "metrics.jsonl"))


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The launcher, torchrun and the workers, oldest first."""
    root = psutil.Process(process.pid)
    return [root, *root.children(recursive=True)]


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in read_lines(out / "metrics.jsonl")]


@pytest.mark.slow
def test_killed_in_the_middle_a_run_ends_with_the_same_loss(
    recipe_file: Path, tiny_store: Path, whole: Path, tmp_path: Path
) -> None:
    process = start(recipe_file, tiny_store, tmp_path)
    wait_until(lambda: steps_done(tmp_path) >= 7)
    for member in family(process):
        member.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "result.json").exists()
    launch(recipe_file, tiny_store, tmp_path, 1)
    assert losses(tmp_path) == losses(whole)
    ours, theirs = (json.loads((out / "result.json").read_text()) for out in (tmp_path, whole))
    assert ours["final_loss"] == theirs["final_loss"]
    assert ours["resumed_from"] in (5, 10, 15)


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["launcher", "one rank"])
def test_asked_to_stop_a_run_saves_its_last_step_and_is_retryable(
    recipe_file: Path, tiny_store: Path, tmp_path: Path, whom: str
) -> None:
    process = start(recipe_file, tiny_store, tmp_path, world_size=2)
    wait_until(lambda: steps_done(tmp_path) >= 4)
    target = family(process)[0 if whom == "launcher" else -1]
    target.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == RetryableError.exit_code
    done = steps_done(tmp_path)
    assert f"Stopped after step {done} of 20" in said
    pointer = json.loads((tmp_path / "checkpoints" / "latest.json").read_text())
    assert pointer["checkpoints"][-1]["step"] == done


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_launcher(recipe_file: Path, tiny_store: Path, tmp_path: Path) -> None:
    process = start(recipe_file, tiny_store, tmp_path)
    wait_until(lambda: steps_done(tmp_path) >= 4)
    _, *others = family(process)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(others, timeout=60)
    assert not alive
    assert steps_done(tmp_path) < 20


def test_a_mistake_is_one_line_and_not_retryable(tiny_store: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^No recipe nonsense[^\n]*$"):
        launch("nonsense", tiny_store, tmp_path, 1)


def test_a_package_that_cannot_be_imported_is_named(
    recipe_file: Path, tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deepspeed.py").write_text("raise ModuleNotFoundError(\"No module named 'deepspeed'\")\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with pytest.raises(RuntimeError, match=r"^Training failed: ModuleNotFoundError: No module named 'deepspeed'"):
        launch(recipe_file, tiny_store, tmp_path / "run", 1)


@pytest.mark.slow
def test_a_worker_that_dies_without_a_word_is_retryable(recipe_file: Path, tiny_store: Path, tmp_path: Path) -> None:
    process = start(recipe_file, tiny_store, tmp_path)
    wait_until(lambda: steps_done(tmp_path) >= 1)
    os.kill(family(process)[-1].pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == RetryableError.exit_code
    assert "killed from outside" in said
