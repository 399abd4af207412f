"""What the watch of a training run saw: at each look, every metric of the same held-out prompts and seeds.

    points = read_watch(run / "watch.jsonl")
    best = best_point(points)

Values are kept prompt by prompt, because only pairs tell a change of the student from the luck of the prompts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rats_train.errors import UserError
from rats_train.evaluation.bootstrap import Values
from rats_train.evaluation.scores import Kind, floats

WATCH = "watch.jsonl"


@dataclass(frozen=True)
class WatchPoint:
    """One look at the student.

    Attributes:
        step: training steps behind it; at 0 the student is the teacher, drawn in few steps without guidance.
        nfe: the budget at which it drew.
        kinds: metric -> what it is.
        weights: reward -> its share of the sum.
        values: metric -> ``[P]`` values, the mean over the images of each prompt.
        seconds: wall time of drawing and judging.
    """

    step: int
    nfe: int
    kinds: Mapping[str, Kind]
    weights: Mapping[str, float]
    values: Mapping[str, Values]
    seconds: float

    def of_kind(self, *kinds: Kind) -> list[str]:
        """Names of the metrics of these kinds."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def mean(self, metric: str) -> float:
        """Mean of one metric over the prompts."""
        return float(self.values[metric].mean())

    def reward(self, kind: Kind) -> Values | None:
        """``[P]`` the weighted sum of the rewards of one kind; None where there is none."""
        parts = [self.weights[name] * self.values[name] for name in self.of_kind(kind)]
        return np.sum(parts, axis=0) if parts else None

    @property
    def score(self) -> float | None:
        """What the best checkpoint is chosen by: the mean held-out reward; None without a held-out reward."""
        heldout = self.reward("heldout")
        return None if heldout is None else float(heldout.mean())

    def to_line(self) -> dict[str, Any]:
        """The point as JSON values; ``score`` and ``means`` are for readers, and follow from ``values``."""
        return {
            "step": self.step,
            "nfe": self.nfe,
            "score": self.score,
            "means": {name: self.mean(name) for name in self.kinds},
            "kinds": dict(self.kinds),
            "weights": dict(self.weights),
            "seconds": self.seconds,
            "values": {name: floats(values) for name, values in self.values.items()},
        }


def read_watch(path: Path) -> list[WatchPoint]:
    """All whole lines of a ``watch.jsonl``, in order; none where there is no such file.

    Raises:
        UserError: a line is not of this version.
    """
    if not path.is_file():
        return []
    try:
        whole = [text for text in path.read_text().splitlines(keepends=True) if text.endswith("\n")]
        return [_from_line(json.loads(text)) for text in whole]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a watch log ({error}): train again, or remove the broken line.") from error


def best_point(points: Sequence[WatchPoint]) -> WatchPoint | None:
    """The latest trained point that is as good as the highest, to one standard error; None without one, or a score.

    A few pictures do not tell looks apart, and the highest of many is the luckiest (the one-standard-error rule of
    Breiman et al. 1984, section 3.4.3). The untrained point is no candidate: to export it would be to hand the teacher
    back.
    """
    candidates = _candidates(points)
    if not candidates:
        return None
    _, highest = _highest(candidates)
    return [point for point, rewards in candidates if _as_good(rewards, highest)][-1]


def as_good(point: WatchPoint, other: WatchPoint) -> bool:
    """Whether a look's held-out reward lies below another's by at most one standard error; both have such a reward."""
    rewards, others = point.reward("heldout"), other.reward("heldout")
    assert rewards is not None
    assert others is not None
    return _as_good(rewards, others)


def out_of_patience(points: Sequence[WatchPoint], patience: int | None) -> bool:
    """Whether the last ``patience`` looks brought no new highest score; never for None."""
    candidates = _candidates(points)
    if patience is None or not candidates:
        return False
    top, _ = _highest(candidates)
    return sum(point.step > top.step for point in points) >= patience


def still_wanted(points: Sequence[WatchPoint], since: int) -> set[int]:
    """Steps whose weights a run that falls back to ``since`` may have to export: its best then, and later bests."""
    before, later = [[point for point in points if (point.step > since) is side] for side in (False, True)]
    bests = [best_point([*before, *later[:count]]) for count in range(len(later) + 1)]
    return {best.step for best in bests if best is not None}


def _candidates(points: Sequence[WatchPoint]) -> list[tuple[WatchPoint, Values]]:
    """The trained points that have a held-out reward, with its ``[P]`` values."""
    rewarded = [(point, point.reward("heldout")) for point in points if point.step]
    return [(point, rewards) for point, rewards in rewarded if rewards is not None]


def _highest(candidates: Sequence[tuple[WatchPoint, Values]]) -> tuple[WatchPoint, Values]:
    """The earliest with the highest mean."""
    return max(candidates, key=lambda candidate: float(candidate[1].mean()))


def _as_good(rewards: Values, highest: Values) -> bool:
    """Whether ``rewards[P]`` lie below the highest ``[P]`` by at most one standard error of the paired difference."""
    short = highest - rewards
    error = short.std(ddof=1) / np.sqrt(len(short)) if len(short) > 1 else 0.0
    return bool(short.mean() <= error)


def _from_line(line: Mapping[str, Any]) -> WatchPoint:
    values = {name: np.asarray(line["values"][name], dtype=np.float64) for name in line["kinds"]}
    return WatchPoint(line["step"], line["nfe"], line["kinds"], line["weights"], values, line["seconds"])
