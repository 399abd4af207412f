"""Which look is best, when patience ends, and which weights must stay: functions of the recorded looks."""

import json
from pathlib import Path

import numpy as np
import pytest

from rats_train.errors import UserError
from rats_train.evaluation.watched import WatchPoint, best_point, out_of_patience, read_watch, still_wanted

KINDS = {"a": "trained", "b": "heldout", "c": "heldout", "all_correct": "verifier"}


def point(step: int, heldout: float, kinds: dict = KINDS) -> WatchPoint:
    values = {name: np.array([heldout, heldout + 0.2]) for name in kinds}
    return WatchPoint(step, 5, kinds, {"a": 1.0, "b": 1.0, "c": 0.5}, values, 1.5)


def points(*scores: float) -> list[WatchPoint]:
    return [point(25 * look, score) for look, score in enumerate(scores)]


def test_the_score_is_the_weighted_held_out_reward() -> None:
    assert point(25, 0.4).score == pytest.approx(1.5 * 0.5)
    assert point(25, 0.4, {"a": "trained"}).score is None
    assert point(25, 0.4).reward("trained") == pytest.approx([0.4, 0.6])


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.1, 0.2, 0.3], 50), ([0.1, 0.3, 0.2], 25), ([0.9, 0.2, 0.3], 50), ([0.1, 0.3, 0.3], 50), ([0.5], None)],
)
def test_the_best_look_is_the_latest_of_the_highest_and_never_the_untrained_one(scores, best) -> None:
    found = best_point(points(*scores))
    assert (found.step if found else None) == best


@pytest.mark.parametrize(("short", "best"), [(0.009, 75), (0.011, 50)])
def test_a_later_look_is_as_good_within_one_standard_error_of_its_pairs(short: float, best: int) -> None:
    """Over prompts that differ by .02 with a spread of .02, four of them: the standard error is .01."""
    spread = np.array([0.02, -0.02, 0.02, -0.02]) * np.sqrt(3 / 4)
    start = np.array([0.1, 0.9, 0.4, 0.2])
    looks = [start, start, start + 0.3, start + 0.3 + spread - short]
    kinds = {"b": "heldout"}
    found = best_point([WatchPoint(25 * i, 5, kinds, {"b": 1.0}, {"b": look}, 1.5) for i, look in enumerate(looks)])
    assert (found.step if found else None) == best


def test_without_a_held_out_reward_there_is_no_best() -> None:
    assert best_point([point(25, 0.4, {"a": "trained", "all_correct": "verifier"})]) is None


@pytest.mark.parametrize(
    ("scores", "patience", "over"),
    [
        ([0.1, 0.3, 0.2, 0.1], 2, True),
        ([0.1, 0.3, 0.2, 0.1], 3, False),
        ([0.1, 0.3, 0.2, 0.1], None, False),
        ([0.1, 0.3, 0.2, 0.4], 1, False),
        ([0.1, 0.3, 0.3], 1, True),
        ([0.5, 0.3, 0.4], 1, False),
        ([0.5], 1, False),
    ],
)
def test_patience_counts_the_looks_since_the_highest(scores, patience, over) -> None:
    assert out_of_patience(points(*scores), patience) is over


@pytest.mark.parametrize(
    ("since", "wanted"), [(0, {25, 75, 125}), (25, {25, 75, 125}), (60, {25, 75, 125}), (75, {75, 125}), (125, {125})]
)
def test_weights_stay_while_some_resumed_run_may_export_them(since, wanted) -> None:
    assert still_wanted(points(0.9, 0.3, 0.2, 0.4, 0.1, 0.5, 0.4), since) == wanted


def test_a_look_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "watch.jsonl"
    path.write_text("".join(json.dumps(look.to_line()) + "\n" for look in points(0.1, 0.2)) + '{"step": 50, "n')
    first, second = read_watch(path)
    assert (first.step, second.step, second.nfe, second.seconds) == (0, 25, 5, 1.5)
    assert second.score == point(25, 0.2).score
    assert dict(second.kinds) == KINDS
    assert json.loads(path.read_text().splitlines()[0])["means"]["b"] == pytest.approx(0.2)
    assert read_watch(tmp_path / "absent.jsonl") == []


def test_a_broken_log_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "watch.jsonl").write_text('{"step": 3}\n')
    with pytest.raises(UserError, match=r"watch\.jsonl is not a watch log"):
        read_watch(tmp_path / "watch.jsonl")
