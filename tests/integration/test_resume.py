"""A run that is stopped, killed or damaged ends as if nothing had happened, or says in one line why it cannot."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rats_train.config import Recipe
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import read_lines
from rats_train.engine.train import train
from rats_train.engine.trainer import Trainer
from rats_train.errors import RetryableError


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
