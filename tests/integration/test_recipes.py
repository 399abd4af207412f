"""The packaged recipes of the large families, run on tiny weights: the same file apart from the models' paths.

A dry run draws and trains one row, and draws Wan's smaller: its 33 frames of 480 x 832 take minutes on a processor.
"""

from pathlib import Path

import pytest
import torch

from pipelines.forecast.plan import plan
from rats_train.config import Recipe, load_recipe
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import read_lines
from rats_train.engine.train import train
from rats_train.models.load import load_model
from rats_train.trajectories.generate import generate
from tests.tiny_pipelines import tiny_flux, tiny_sd3, tiny_wan

MAKE = {
    "sd35_medium": lambda: tiny_sd3(t5=True, shift=3.0, sample_size=128),
    "flux1_dev": tiny_flux,
    "wan21_t2v_1_3b": tiny_wan,
}
ONE_ROW = ["trajectories.count=1", "trajectories.batch_size=1", "training.steps=1", "training.batch_size=1"]


@pytest.fixture(params=MAKE)
def load(request: pytest.FixtureRequest, tiny_reward_dir: Path, tmp_path: Path):
    """A function from overrides to a packaged recipe over tiny models."""
    torch.manual_seed(0)
    MAKE[request.param]().save_pretrained(tmp_path / "teacher")
    reward = f"[{{name: judge, path: {tiny_reward_dir}}}]"
    paths = [f"teacher.path={tmp_path / 'teacher'}", f"rewards.train={reward}"]
    heldout = f"rewards.heldout={reward.replace('judge', 'other')}"
    return lambda *overrides: load_recipe(request.param, [*paths, heldout, *overrides])


def test_the_plan_of_every_recipe(load, tmp_path: Path) -> None:
    assert plan(load(), tmp_path)


@pytest.mark.slow
def test_a_dry_run_of_every_recipe(load, ranks: Ranks, tmp_path: Path) -> None:
    smaller = ["resolution={height: 64, width: 96, frames: 5}"] if load().family == "wan" else []
    recipe: Recipe = load(*ONE_ROW, *smaller, "evaluation.count=2")
    store = generate(recipe, tmp_path / "store")
    train(recipe, store, tmp_path / "run", ranks)
    (line,) = read_lines(tmp_path / "run" / "metrics.jsonl")
    assert line["grad_norm"] > 0
    assert load_model(tmp_path / "run" / "student").resolution == recipe.resolution
