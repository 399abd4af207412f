"""A run that is stopped, killed or damaged ends as if nothing had happened, or says in one line why it cannot."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rats_train.config import Recipe
from rats_train.engine import checkpoints
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import read_lines
from rats_train.engine.train import train
from rats_train.engine.trainer import Trainer
from rats_train.errors import RetryableError, UserError
from tests.integration.conftest import changed, with_method

GRPO = {"name": "grpo", "group_size": 2, "kl_weight": 0.1}
METHODS: list[dict[str, Any]] = [
    {"name": "distill"},
    {"name": "reward_only"},
    GRPO,
    GRPO | {"name": "rats_grpo"},
    GRPO | {"name": "otca"},
    GRPO | {"name": "otca", "credit": {"steps": "halves"}},
    GRPO | {"name": "rtdmd", "cold_start": 0.67, "fake_updates": 2, "gate": "soft", "credit": {}},
    {"name": "rtdmd", "cold_start": 1, "fake_updates": 2},
]


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in read_lines(out / "metrics.jsonl")]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "student" / "transformer" / "diffusion_pytorch_model.safetensors")


def assert_same_run(out: Path, whole: Path) -> None:
    ours, theirs = read_lines(out / "metrics.jsonl"), read_lines(whole / "metrics.jsonl")
    assert [line | {"seconds": 0} for line in ours] == [line | {"seconds": 0} for line in theirs]
    assert (out / "samples.jsonl").read_text() == (whole / "samples.jsonl").read_text()
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(out).items())


class Interrupt:
    """Stops a run by a real SIGTERM to this process at the end of one step."""

    def __init__(self, patch: pytest.MonkeyPatch, step: int) -> None:
        original = Trainer._keep

        def keep(trainer: Trainer, done: int) -> None:
            if done == step:
                os.kill(os.getpid(), signal.SIGTERM)
            original(trainer, done)

        patch.setattr(Trainer, "_keep", keep)


@pytest.fixture(scope="module")
def whole(tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    out = tmp_path_factory.mktemp("whole")
    train(tiny_recipe, tiny_store, out, ranks)
    return out


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_stopped_at_any_step_a_run_ends_bit_for_bit_the_same(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, whole: Path, tmp_path: Path, step: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Interrupt(patch, step)
        with pytest.raises(RetryableError, match=f"Stopped after step {step} of 6"):
            train(tiny_recipe, tiny_store, tmp_path, ranks)
    assert losses(tmp_path) == losses(whole)[:step]
    train(tiny_recipe, tiny_store, tmp_path, ranks)
    assert_same_run(tmp_path, whole)
    assert json.loads((tmp_path / "result.json").read_text())["resumed_from"] == step


class CrashError(Exception):
    """Stands for the moment at which the machine went away."""


@pytest.mark.parametrize(
    ("crash_in", "step_left"),
    [
        ("_prepare", 4),  # nothing of the new checkpoint is there
        ("_write", 4),  # its folder is there, empty
        ("sha256_tree", 4),  # all its files are there, under the unfinished name
        ("write_json", 4),  # it has its name, and the pointer does not know it
    ],
)
def test_a_crash_at_any_moment_of_saving_leaves_the_checkpoint_before(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, whole: Path, tmp_path: Path, crash_in: str, step_left: int
) -> None:
    def crash(*_: object) -> None:
        raise CrashError

    original = Trainer._keep

    def keep(trainer: Trainer, done: int) -> None:
        if done == 6:
            owner = checkpoints.Checkpoints if crash_in.startswith("_") else checkpoints
            patch.setattr(owner, crash_in, crash)
        original(trainer, done)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_keep", keep)
        with pytest.raises(CrashError):
            train(tiny_recipe, tiny_store, tmp_path, ranks)
    train(tiny_recipe, tiny_store, tmp_path, ranks)
    assert json.loads((tmp_path / "result.json").read_text())["resumed_from"] == step_left
    assert_same_run(tmp_path, whole)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "latest.json",
        "step-000004",
        "step-000006",
    ]


def stop_at(step: int, recipe: Recipe, store: Path, out: Path, ranks: Ranks) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Interrupt(patch, step)
        with pytest.raises(RetryableError):
            train(recipe, store, out, ranks)


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, whole: Path, tmp_path: Path
) -> None:
    stop_at(3, tiny_recipe, tiny_store, tmp_path, ranks)
    flip_byte(tmp_path / "checkpoints" / "step-000003" / "student" / "mp_rank_00_model_states.pt")
    train(tiny_recipe, tiny_store, tmp_path, ranks)
    assert json.loads((tmp_path / "result.json").read_text())["resumed_from"] == 2
    assert_same_run(tmp_path, whole)


def test_nothing_is_loaded_when_no_checkpoint_is_whole(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    stop_at(3, tiny_recipe, tiny_store, tmp_path, ranks)
    for path in (tmp_path / "checkpoints").glob("step-*/student/*model_states.pt"):
        flip_byte(path)
    with pytest.raises(UserError, match=r"No checkpoint in .* is whole"):
        train(tiny_recipe, tiny_store, tmp_path, ranks)


def test_another_recipe_does_not_resume(tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path) -> None:
    stop_at(1, tiny_recipe, tiny_store, tmp_path, ranks)
    with pytest.raises(UserError, match="checkpoints of another recipe"):
        train(changed(tiny_recipe, "method", alpha=0.5), tiny_store, tmp_path, ranks)


def test_another_number_of_ranks_does_not_resume(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    stop_at(1, tiny_recipe, tiny_store, tmp_path, ranks)
    pointer = tmp_path / "checkpoints" / "latest.json"
    pointer.write_text(pointer.read_text().replace('"world_size": 1', '"world_size": 2'))
    with pytest.raises(UserError, match="written by 2 ranks, and there are now 1"):
        train(tiny_recipe, tiny_store, tmp_path, ranks)


def test_a_finished_run_is_not_made_again(tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file() and path.name != ".lock"}
    train(changed(tiny_recipe, "training", log_every=3), tiny_store, whole, ranks)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_average_of_the_student_resumes_too(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    recipe = changed(tiny_recipe, "teacher", source="ema", ema_decay=0.5, ema_every=2, steps=4)
    train(recipe, None, tmp_path / "whole", ranks)
    stop_at(3, recipe, None, tmp_path / "torn", ranks)
    train(recipe, None, tmp_path / "torn", ranks)
    assert_same_run(tmp_path / "torn", tmp_path / "whole")


@pytest.mark.parametrize("settings", METHODS)
def test_every_method_resumes_bit_for_bit(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Two runs of one seed, of which one is torn: so the same seed is the same run, too."""
    recipe = with_method(changed(tiny_recipe, "training", steps=3, checkpoint_every=3), **settings)
    train(recipe, tiny_store, tmp_path / "whole", ranks)
    stop_at(1, recipe, tiny_store, tmp_path / "torn", ranks)
    train(recipe, tiny_store, tmp_path / "torn", ranks)
    assert_same_run(tmp_path / "torn", tmp_path / "whole")
    for line in read_lines(tmp_path / "whole" / "metrics.jsonl"):
        norms = [value for name, value in line.items() if name.endswith("grad_norm")]
        assert norms
        assert min(norms) > 0
