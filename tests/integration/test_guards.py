"""The guards over a run: what the watch records, which weights are exported, when training ends, what is warned of."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from rats_train.config import Recipe
from rats_train.engine import guards, trainer
from rats_train.engine.identity import identify
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import read_lines
from rats_train.engine.train import train
from rats_train.engine.trainer import Trainer
from rats_train.engine.watch import Watch
from rats_train.errors import RetryableError, UserError
from rats_train.evaluation.alarms import Alarm
from rats_train.evaluation.heldout import WATCHED, watch_prompts
from rats_train.evaluation.watched import WatchPoint
from rats_train.learning_rate import learning_rate
from rats_train.trajectories.generate import generate
from tests.integration.conftest import changed, with_method
from tests.integration.test_resume import Interrupt, flip_byte

Plant = Callable[[Sequence[float]], None]


@pytest.fixture(scope="module")
def watched(tiny_recipe: Recipe, tiny_reward_dir: Path) -> Recipe:
    """The tiny recipe with a held-out reward and a look every other step."""
    judge = {"name": "judge", "path": str(tiny_reward_dir), "weight": 2.0}
    return changed(changed(tiny_recipe, "rewards", heldout=[judge]), "training", watch_every=2)


@pytest.fixture(scope="module")
def whole(watched: Recipe, tiny_store: Path, ranks: Ranks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("watched")
    train(watched, tiny_store, out, ranks)
    return out


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Lets every look score what the test wants: the n-th score at the n-th look, in place of drawing."""

    def planted(scores: Sequence[float]) -> None:
        def look(self: Watch, step: int, student: torch.nn.Module) -> WatchPoint:
            values = {name: np.full(WATCHED, scores[step // 2]) for name in self._kinds}
            return WatchPoint(step, 2, self._kinds, self._weights, values, 0.1)

        monkeypatch.setattr(Watch, "look", look)

    return planted


def result(out: Path) -> dict:
    return json.loads((out / "result.json").read_text())


def student(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "student" / "transformer" / "diffusion_pytorch_model.safetensors")


def best(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "best").iterdir())


def watch_lines(out: Path) -> list[dict]:
    return [line | {"seconds": 0} for line in read_lines(out / "watch.jsonl")]


def assert_equal_weights(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_every_look_leaves_a_line(whole: Path, watched: Recipe) -> None:
    lines = watch_lines(whole)
    assert [line["step"] for line in lines] == [0, 2, 4, 6]
    kinds = {"likeness": "trained", "judge": "heldout", "all_correct": "verifier"}
    kinds |= {"diversity_pixels": "diversity", "diversity_features": "diversity"}
    for line in lines:
        assert line["kinds"] == kinds
        assert {name: len(values) for name, values in line["values"].items()} == dict.fromkeys(kinds, WATCHED)
        # Both rewards are the same model here, and the score weighs the held-out one.
        assert line["values"]["judge"] == line["values"]["likeness"]
        assert line["score"] == pytest.approx(2 * line["means"]["judge"])
        assert line["means"]["diversity_pixels"] > 0
    assert lines[0]["values"] != lines[-1]["values"]
    assert watch_prompts(watched) == watch_prompts(changed(watched, "training", steps=3))


def test_rules_that_are_trained_on_are_watched_as_a_reward(
    watched: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    trained = [*watched.model_dump()["rewards"]["train"], {"name": "rules", "kind": "verifier"}]
    recipe = changed(with_method(watched, "grpo", group_size=2), "rewards", train=trained)
    recipe = changed(recipe, "training", steps=2, watch_every=1)
    train(recipe, generate(recipe, tmp_path / "store"), tmp_path / "run", ranks)
    for line in watch_lines(tmp_path / "run"):
        assert line["kinds"]["rules"] == "trained"
        assert "all_correct" not in line["kinds"]


def test_the_watch_does_not_change_what_is_learned(
    watched: Recipe, tiny_store: Path, ranks: Ranks, whole: Path, tmp_path: Path
) -> None:
    train(changed(watched, "training", watch_every=0), tiny_store, tmp_path, ranks)
    for name in ("metrics.jsonl", "samples.jsonl"):
        ours, theirs = read_lines(tmp_path / name), read_lines(whole / name)
        assert [line | {"seconds": 0} for line in ours] == [line | {"seconds": 0} for line in theirs]
    assert read_lines(tmp_path / "watch.jsonl") == []
    assert (result(tmp_path)["exported_step"], result(tmp_path)["stopped_early"]) == (6, False)
    assert not (tmp_path / "best").exists()


def test_what_is_exported_is_the_best_look(
    watched: Recipe, tiny_store: Path, ranks: Ranks, plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant([0.9, 0.1, 0.3, 0.2])
    plain = changed(watched, "training", ema_decay=0)  # an average would go on moving
    train(plain, tiny_store, tmp_path / "whole", ranks)
    assert (result(tmp_path / "whole")["exported_step"], result(tmp_path / "whole")["steps"]) == (4, 6)
    assert best(tmp_path / "whole") == ["step-000004.safetensors"]
    # The same run, which learns no more after its best step, ends with what came out.
    plant([0.0, 0.1, 0.2, 0.3])
    monkeypatch.setattr(trainer, "learning_rate", lambda step, *rest: learning_rate(step, *rest) if step < 4 else 0.0)
    train(plain, tiny_store, tmp_path / "frozen", ranks)
    assert_equal_weights(student(tmp_path / "whole"), student(tmp_path / "frozen"))
    last = load_file(tmp_path / "frozen" / "best" / "step-000006.safetensors")
    assert_equal_weights(student(tmp_path / "frozen"), last)


@pytest.mark.parametrize(("scores", "stops"), [([0, 0.3, 0.2, 0.1], [2, 3]), ([0, 0.1, 0.3, 0.2], [3, 5])])
def test_stopped_on_its_way_a_run_makes_the_same_choice(
    watched: Recipe, tiny_store: Path, ranks: Ranks, plant: Plant, tmp_path: Path, scores: list[float], stops: list[int]
) -> None:
    """The first kind of run ends early, at step 4, and exports step 2; the second exports step 4 of 6."""
    plant(scores)
    recipe = changed(watched, "training", patience=1)
    train(recipe, tiny_store, tmp_path / "whole", ranks)
    for step in stops:
        torn = tmp_path / f"torn at {step}"
        with pytest.MonkeyPatch.context() as patch:
            Interrupt(patch, step)
            with pytest.raises(RetryableError):
                train(recipe, tiny_store, torn, ranks)
        train(recipe, tiny_store, torn, ranks)
        assert watch_lines(torn) == watch_lines(tmp_path / "whole")
        keys = ("exported_step", "stopped_early", "steps", "final_loss")
        assert [result(torn)[key] for key in keys] == [result(tmp_path / "whole")[key] for key in keys]
        assert_equal_weights(student(torn), student(tmp_path / "whole"))
        assert best(torn) == best(tmp_path / "whole")


class CrashError(Exception):
    """Stands for the moment at which the machine went away."""


def crash_at(patch: pytest.MonkeyPatch, owner: type, method: str, done: int) -> None:
    original = getattr(owner, method)

    def crash(self: object, *arguments: object) -> None:
        if arguments[0] == done:
            raise CrashError
        original(self, *arguments)

    patch.setattr(owner, method, crash)


def test_a_crash_after_a_new_best_falls_back_with_the_old_one(
    watched: Recipe, tiny_store: Path, ranks: Ranks, plant: Plant, tmp_path: Path
) -> None:
    """The best of step 2 is still there for a run that goes back to step 3, though step 4 was better before it died."""
    recipe = changed(watched, "training", checkpoint_every=3)
    plant([0, 0.2, 0.3, 0.1])
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, Trainer, "_keep", 4)
        with pytest.raises(CrashError):
            train(recipe, tiny_store, tmp_path, ranks)
    assert best(tmp_path) == ["step-000002.safetensors", "step-000004.safetensors"]
    plant([0, 0.2, 0.1, 0.1])  # as on a machine that does not repeat itself
    train(recipe, tiny_store, tmp_path, ranks)
    assert result(tmp_path)["exported_step"] == 2
    assert best(tmp_path) == ["step-000002.safetensors"]


def test_a_damaged_checkpoint_falls_back_with_the_best_of_its_time(
    watched: Recipe, tiny_store: Path, ranks: Ranks, plant: Plant, tmp_path: Path
) -> None:
    plant([0, 0.2, 0.3, 0.1])
    with pytest.MonkeyPatch.context() as patch:
        Interrupt(patch, 4)
        with pytest.raises(RetryableError):
            train(watched, tiny_store, tmp_path, ranks)
    flip_byte(tmp_path / "checkpoints" / "step-000004" / "student" / "mp_rank_00_model_states.pt")
    plant([0, 0.2, 0.1, 0.1])
    train(watched, tiny_store, tmp_path, ranks)
    assert result(tmp_path)["resumed_from"] == result(tmp_path)["exported_step"] == 2


def test_a_run_that_died_before_its_first_checkpoint_begins_anew(
    watched: Recipe, tiny_store: Path, ranks: Ranks, plant: Plant, whole: Path, tmp_path: Path
) -> None:
    recipe = changed(watched, "training", checkpoint_every=6)
    with pytest.MonkeyPatch.context() as patch:
        plant([0.9, 0.9, 0.9, 0.9])
        crash_at(patch, Trainer, "_keep", 5)
        with pytest.raises(CrashError):
            train(recipe, tiny_store, tmp_path, ranks)
    plant([0, 0.1, 0.2, 0.3])
    train(recipe, tiny_store, tmp_path, ranks)
    assert [line["score"] for line in watch_lines(tmp_path)] == pytest.approx([0, 0.2, 0.4, 0.6])
    assert best(tmp_path) == ["step-000006.safetensors"]


def test_best_weights_that_are_gone_are_one_line(
    watched: Recipe, tiny_store: Path, ranks: Ranks, plant: Plant, tmp_path: Path
) -> None:
    plant([0, 0.3, 0.2, 0.1])
    with pytest.MonkeyPatch.context() as patch:
        Interrupt(patch, 4)
        with pytest.raises(RetryableError):
            train(watched, tiny_store, tmp_path, ranks)
    (tmp_path / "best" / "step-000002.safetensors").unlink()
    with pytest.raises(UserError, match=r"^[^\n]*step-000002.safetensors, the best weights so far, is gone[^\n]*$"):
        train(watched, tiny_store, tmp_path, ranks)


@pytest.mark.parametrize(("patience", "made"), [(1, 4), (2, 6)])
def test_patience_ends_a_run(
    watched: Recipe, tiny_store: Path, ranks: Ranks, plant: Plant, tmp_path: Path, patience: int, made: int
) -> None:
    plant([0.0, 0.5, 0.4, 0.3, 0.2, 0.1])
    train(changed(watched, "training", steps=10, patience=patience), tiny_store, tmp_path, ranks)
    assert (result(tmp_path)["steps"], result(tmp_path)["stopped_early"]) == (made, True)
    assert result(tmp_path)["exported_step"] == 2
    assert (tmp_path / "previews" / f"step-{made:04d}.png").is_file()


def test_an_alarm_is_logged_once_and_kept(
    watched: Recipe,
    tiny_store: Path,
    ranks: Ranks,
    plant: Plant,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    alarm = Alarm("dead gate", 2, "All gates were shut.", "Raise method.tau.")
    monkeypatch.setattr(guards, "find_alarms", lambda lines, points: [alarm] if len(lines) >= 2 else [])
    plant([0, 0.1, 0.2, 0.3])
    with caplog.at_level(logging.WARNING, "rats_train"):
        with pytest.MonkeyPatch.context() as patch:
            Interrupt(patch, 4)
            with pytest.raises(RetryableError):
                train(watched, tiny_store, tmp_path, ranks)
        train(watched, tiny_store, tmp_path, ranks)
    said = [record.message for record in caplog.records if "gates" in record.message]
    assert said == ["dead gate at step 2: All gates were shut. Raise method.tau."]
    assert read_lines(tmp_path / "alarms.jsonl") == [
        {"name": "dead gate", "step": 2, "seen": "All gates were shut.", "cure": "Raise method.tau."}
    ]


def test_ranks_share_the_prompts_out_evenly(watched: Recipe, ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch.__new__(Watch)
    watch._prompts = watch_prompts(watched)[:5]
    rows = []
    for rank in range(2):
        watch._ranks = replace(ranks, rank=rank, size=2)
        rows.append(watch._my_rows())
    assert rows == [[0, 1, 2], [3, 4, 0]]


def test_who_is_watched_by_another_judge_is_another_run(watched: Recipe) -> None:
    def keys(recipe: Recipe) -> tuple[str, str]:
        unwatched = changed(recipe, "training", watch_every=0)
        return identify(recipe).run, identify(unwatched).run

    judged = changed(watched, "rewards", heldout=[])
    assert [one != other for one, other in zip(keys(watched), keys(judged), strict=True)] == [True, False]
    assert identify(changed(watched, "evaluation", count=200)) == identify(watched)


def test_patience_without_a_score_is_refused(tiny_recipe: Recipe, watched: Recipe) -> None:
    with pytest.raises(ValueError, match=r"training\.patience 2 waits for a better held-out score"):
        changed(watched, "training", patience=2, watch_every=0)
    with pytest.raises(ValueError, match="name a reward under rewards"):
        changed(changed(tiny_recipe, "training", watch_every=2), "training", patience=2)
