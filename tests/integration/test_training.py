"""What a run leaves behind, what it learns, and how it says that something is wrong."""

import json
import math
import resource
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from rats_train.config import Recipe, recipe_digest
from rats_train.engine import trainer
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import read_lines
from rats_train.engine.train import _alone_in, train
from rats_train.engine.trainer import Trainer
from rats_train.errors import UserError
from rats_train.methods.base import StepContext, StepResult
from rats_train.methods.rats import Rats
from rats_train.models.load import load_model
from rats_train.trajectories.prompts import PromptBatch
from tests.integration.conftest import changed


@pytest.fixture(scope="module")
def out(tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train(tiny_recipe, tiny_store, out, ranks)
    return out


def test_every_step_leaves_a_line_of_metrics(out: Path) -> None:
    lines = read_lines(out / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert {line["nfe"] for line in lines} == {2, 3}
    names = "step loss nfe reward_loss shaping reward_student reward_teacher gap gate_mean gate_min gate_max grad_norm"
    for line in lines:
        assert list(line) == [*names.split(), "learning_rate", "seconds"]
        assert line["loss"] == pytest.approx(line["reward_loss"] + line["shaping"], abs=1e-6)
        assert line["gap"] == pytest.approx(line["reward_student"] - line["reward_teacher"], abs=1e-6)
        assert 0 < line["gate_min"] <= line["gate_mean"] <= line["gate_max"] < 1


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_the_optimiser_goes_at_the_rate_of_the_step_and_the_average_is_exported(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decay: float
) -> None:
    monkeypatch.setattr(trainer, "learning_rate", lambda step, *_: 1e-3 if step == 0 else 0.0)
    one = changed(tiny_recipe, "training", checkpoint_every=6, ema_decay=decay)
    train(one, tiny_store, tmp_path / "run", ranks)
    start = load_model(tiny_recipe.teacher.path).transformer.state_dict()
    moved = load_model(tmp_path / "run" / "student").transformer.state_dict()
    # One step of Adam moves a weight by its rate; five more at none move nothing, and the average catches up.
    largest = max(float((moved[name] - value).abs().max()) for name, value in start.items())
    assert largest == pytest.approx(1e-3 * (1 - decay**6), rel=0.02)
    assert [line["learning_rate"] for line in read_lines(tmp_path / "run" / "metrics.jsonl")] == [1e-3, 0, 0, 0, 0, 0]


def test_every_sample_leaves_a_line(out: Path) -> None:
    samples, metrics = read_lines(out / "samples.jsonl"), read_lines(out / "metrics.jsonl")
    assert len(samples) == 6 * 4
    first = [sample for sample in samples if sample["step"] == 1]
    mean = sum(sample["reward_student"] for sample in first) / 4
    assert mean == pytest.approx(metrics[0]["reward_student"])
    for sample in samples:
        gap = sample["reward_teacher"] - sample["reward_student"]
        assert sample["gate"] == pytest.approx(1 / (1 + math.exp(-gap / 0.05)), abs=1e-5)


def test_progress_result_and_previews_tell_how_it_went(out: Path, tiny_recipe: Recipe) -> None:
    metrics = read_lines(out / "metrics.jsonl")
    progress = json.loads((out / "progress.json").read_text())
    assert progress == {
        "step": 6,
        "steps": 6,
        "eta_seconds": 0.0,
        "reward_student": metrics[-1]["reward_student"],
        "reward_teacher": metrics[-1]["reward_teacher"],
    }
    result = json.loads((out / "result.json").read_text())
    assert result["final_loss"] == metrics[-1]["loss"]
    assert (result["steps"], result["world_size"], result["resumed_from"]) == (6, 1, None)
    assert result["recipe_digest"] == recipe_digest(tiny_recipe)
    assert result["versions"]["deepspeed"]
    assert 2**27 < result["peak_memory"] <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    previews = sorted((out / "previews").iterdir())
    assert [path.name for path in previews] == [f"step-{step:04d}.png" for step in (0, 2, 4, 6)]
    assert Image.open(previews[0]).tobytes() != Image.open(previews[-1]).tobytes()


def test_the_student_is_a_loadable_folder_with_learned_weights(out: Path, tiny_recipe: Recipe) -> None:
    teacher = load_model(tiny_recipe.teacher.path).transformer.state_dict()
    student = load_model(out / "student").transformer.state_dict()
    assert student.keys() == teacher.keys()
    assert all(torch.isfinite(value).all() for value in student.values())
    assert not torch.equal(student["proj_out.weight"], teacher["proj_out.weight"])
    card = json.loads((out / "student" / "rats_student.json").read_text())
    assert (card["steps"], card["terminal_sigma"]) == ([2, 3], 0.25)


def test_reward_rises_when_it_is_all_that_counts(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    recipe = changed(changed(tiny_recipe, "method", alpha=0), "training", steps=40, checkpoint_every=40)
    train(recipe, tiny_store, tmp_path, ranks)
    gaps = [line["gap"] for line in read_lines(tmp_path / "metrics.jsonl")]
    assert sum(gaps[-10:]) / 10 > sum(gaps[:10]) / 10 + 0.02


def test_two_runs_of_one_seed_are_equal(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, out: Path, tmp_path: Path
) -> None:
    train(tiny_recipe, tiny_store, tmp_path / "again", ranks)
    first, again = (read_lines(run / "metrics.jsonl") for run in (out, tmp_path / "again"))
    assert [line | {"seconds": 0} for line in again] == [line | {"seconds": 0} for line in first]
    assert (tmp_path / "again" / "samples.jsonl").read_text() == (out / "samples.jsonl").read_text()
    weights = load_model(out / "student").transformer.state_dict()
    for name, weight in load_model(tmp_path / "again" / "student").transformer.state_dict().items():
        assert torch.equal(weight, weights[name])


def test_an_average_that_never_moves_is_the_frozen_teacher_of_the_store(
    tiny_recipe: Recipe, ranks: Ranks, out: Path, tmp_path: Path
) -> None:
    """mu = 1 online: the same rewards of the teacher, and up to the rounding of what is stored the same losses."""
    recipe = changed(
        changed(tiny_recipe, "teacher", source="ema", ema_decay=1), "training", steps=4, checkpoint_every=4
    )
    train(recipe, None, tmp_path, ranks)
    stored, online = read_lines(out / "metrics.jsonl")[:4], read_lines(tmp_path / "metrics.jsonl")
    for name in ("reward_teacher", "loss"):
        assert [line[name] for line in online] == pytest.approx([line[name] for line in stored], abs=2e-3)


@pytest.mark.parametrize("zero_stage", [2, 3])
def test_recomputed_activations_train_alike_under_zero(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, out: Path, tmp_path: Path, zero_stage: int
) -> None:
    """What a GPU does to save memory, seen through the engine's hooks."""
    context = Trainer._context
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_context", lambda *arguments: replace(context(*arguments), recompute=True))
        train(changed(tiny_recipe, "training", zero_stage=zero_stage), tiny_store, tmp_path, ranks)
    expected = [line["loss"] for line in read_lines(out / "metrics.jsonl")]
    assert [line["loss"] for line in read_lines(tmp_path / "metrics.jsonl")] == pytest.approx(expected, abs=1e-6)


def test_a_second_run_of_the_same_folder_waits_for_the_first(ranks: Ranks, tmp_path: Path) -> None:
    events = []

    def second() -> None:
        with _alone_in(tmp_path, ranks):
            events.append("second")

    with _alone_in(tmp_path, ranks):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(timeout=0.3)
        events.append("first")
    waiting.join(timeout=10)
    assert events == ["first", "second"]


def test_a_run_that_diverges_says_so_and_keeps_its_checkpoint(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    recipe = changed(tiny_recipe, "training", learning_rate=1e30, checkpoint_every=1)
    with pytest.raises(UserError, match=r"^[^\n]*(diverged|nan|no finite number)[^\n]*$"):
        train(recipe, tiny_store, tmp_path, ranks)
    pointer = json.loads((tmp_path / "checkpoints" / "latest.json").read_text())
    assert len(pointer["checkpoints"]) >= 1
    assert not (tmp_path / "result.json").exists()


def test_memory_that_runs_out_keeps_what_was_learned_and_more_thrift_goes_on(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(self: Rats, batch: PromptBatch, context: StepContext) -> StepResult:
        if context.step == 4 and not context.recompute:
            torch.empty(2**50)
        return plain(self, batch, context)

    plain = Rats.step
    monkeypatch.setattr(Rats, "step", greedy)
    recipe = changed(tiny_recipe, "training", checkpoint_every=6)
    with pytest.raises(UserError, match=r"^Out of memory in the step phase of step 5; what was learned before is kept"):
        train(recipe, tiny_store, tmp_path, ranks)
    train(changed(recipe, "training", recompute="both"), tiny_store, tmp_path, ranks)
    assert json.loads((tmp_path / "result.json").read_text())["resumed_from"] == 4
    assert [line["step"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_a_recipe_without_its_store_is_one_line(tiny_recipe: Recipe, ranks: Ranks, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name their folder with --store"):
        train(tiny_recipe, None, tmp_path, ranks)
    with pytest.raises(UserError, match="No trajectory store at"):
        train(tiny_recipe, tmp_path / "nowhere", tmp_path, ranks)


def test_the_store_of_another_recipe_is_one_line(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="trajectories of another recipe"):
        train(changed(tiny_recipe, "teacher", guidance_scale=2.0), tiny_store, tmp_path, ranks)


def test_a_missing_teacher_is_one_line(tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*nowhere, which teacher.path names"):
        train(changed(tiny_recipe, "teacher", path=str(tmp_path / "nowhere")), tiny_store, tmp_path, ranks)
