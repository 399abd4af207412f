"""Alarms over the recorded curves of a training run: what went wrong, when, and what to change.

    alarms = find_alarms(metric_lines, watch_points)

Pure functions of what is on record, so that a resumed run, a report and a doctor all come to the same findings. Each
looks for its fault from the start of the curve and tells the first step at which it was plain, so that a finding stays
the same while the curve grows.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rats_train.evaluation.bootstrap import Values
from rats_train.evaluation.rules import KEPT_DIVERSITY
from rats_train.evaluation.watched import WatchPoint

ALARMS = "alarms.jsonl"

# A change counts when chance over prompts hardly explains it, and when it is large enough to care: checkpoints differ
# a little from each other for all prompts at once, which the error over prompts does not see.
_CLEAR_ERRORS = 3.0
_CLEAR_SPREAD = 0.2
_LARGE_SPREAD = 0.4
# Looks in a row that must agree: one bad checkpoint is no trend.
_LOOKS = 2
_STRETCH = 50
_DEAD_GATE = 0.05
_EARLY, _RECENT, _EXPLODED = 50, 10, 10.0


@dataclass(frozen=True)
class Alarm:
    """One fault: its name, the step at which it was plain, what was seen, and what to change, a sentence each."""

    name: str
    step: int
    seen: str
    cure: str


def find_alarms(lines: Sequence[Mapping[str, Any]], points: Sequence[WatchPoint]) -> list[Alarm]:
    """Every alarm that the records give cause for, by step.

    Args:
        lines: one mapping a training step, ascending: ``step``, the ``grad_norm`` of each role that learned in it, and
            the gate's extremes if it has one.
        points: the looks of the watch, ascending.
    """
    found = [
        reward_hacking(points),
        diversity_collapse(points),
        dead_gate(*_columns(lines, "step", "gate_min", "gate_max")),
        *(_explosion(lines, name) for name in _norms(lines)),
    ]
    return sorted((alarm for alarm in found if alarm is not None), key=lambda alarm: alarm.step)


def read_alarms(path: Path) -> list[Alarm]:
    """The alarms that a training run kept in its ``alarms.jsonl``; none where there is no such file."""
    return [Alarm(**json.loads(line)) for line in path.read_text().splitlines()] if path.is_file() else []


def reward_hacking(points: Sequence[WatchPoint]) -> Alarm | None:
    """A held-out reward or the verifier is clearly down while the trained reward is clearly up.

    Both are measured from the look at which the falling one was best, over the same prompts, and must show at two
    looks in a row. Where the fall is large, the trained reward need only not have fallen: gamed for long enough, it
    has no room left to rise.
    """
    for end in range(_LOOKS + 1, len(points) + 1):
        earlier, last = points[: end - _LOOKS], points[end - _LOOKS : end]
        for metric in last[-1].of_kind("heldout", "verifier"):
            peak = max(earlier, key=lambda point: point.mean(metric))
            if all(_hacked(peak, point, metric) for point in last):
                seen = (
                    f"{metric} fell from {peak.mean(metric):.3f} at step {peak.step} to {last[-1].mean(metric):.3f} on "
                    "the watched prompts, while the trained reward held or rose."
                )
                cure = (
                    "Raise method.alpha, lower training.learning_rate or training.steps, or train on a second reward "
                    "as well; what is exported is the best look, not the last."
                )
                return Alarm("reward hacking", last[-1].step, seen, cure)
    return None


def diversity_collapse(points: Sequence[WatchPoint]) -> Alarm | None:
    """Images of one prompt have come to resemble each other: less than half of the first look's distance, twice.

    By every measure at once: the distance in a reward's features also falls where mistakes become rare, for they lie
    far from right pictures.
    """
    metrics = points[0].of_kind("diversity") if points else []
    for end in range(_LOOKS + 1, len(points) + 1):
        first, last = points[0], points[end - _LOOKS : end]
        if metrics and all(_collapsed(first, point, metric) for point in last for metric in metrics):
            fell = (f"{name} fell from {first.mean(name):.3f} to {last[-1].mean(name):.3f}" for name in metrics)
            seen = f"Between seeds of one prompt {', '.join(fell)}: other seeds draw nearly the same picture."
            cure = "Raise method.alpha or method.tau, so that the teacher holds on longer, or train for less."
            return Alarm("diversity collapse", last[-1].step, seen, cure)
    return None


def dead_gate(steps: Values, gate_min: Values, gate_max: Values) -> Alarm | None:
    """Every gate of a long stretch is shut, or every one is wide open: it has stopped telling prompts apart."""
    shut, wide = _stretch_end(gate_max < _DEAD_GATE), _stretch_end(gate_min > 1 - _DEAD_GATE)
    if shut is not None and (wide is None or shut < wide):
        seen = f"All gates were below {_DEAD_GATE} for {_STRETCH} steps: the teacher has no say any more."
        cure = "Raise method.tau, or stop here if the held-out reward is up; if it is not, the trained reward is gamed."
        return Alarm("dead gate", int(steps[shut]), seen, cure)
    if wide is not None:
        seen = f"All gates were above {1 - _DEAD_GATE} for {_STRETCH} steps: this is plain imitation of the teacher."
        cure = "Raise method.tau towards the size of the reward gap; if the gap does not close, training.learning_rate."
        return Alarm("dead gate", int(steps[wide]), seen, cure)
    return None


def exploding_gradients(steps: Values, norms: Values, name: str = "grad_norm") -> Alarm | None:
    """The median gradient norm of ten steps is ten times that of the first fifty; single spikes are none.

    ``steps`` and ``norms`` are those of one stage of training.
    """
    if len(norms) < _EARLY + _RECENT:
        return None
    early = float(np.median(norms[:_EARLY]))
    recent = np.median(np.lib.stride_tricks.sliding_window_view(norms[_EARLY:], _RECENT), axis=1)
    high = np.flatnonzero(recent > _EXPLODED * early)
    if not len(high):
        return None
    seen = f"{name} rose from {early:.3g} over the first {_EARLY} steps to {recent[high[0]]:.3g}, before clipping."
    cure = "Lower training.learning_rate, or set method.backprop_steps so that the reward reaches through fewer steps."
    return Alarm("exploding gradients", int(steps[_EARLY + _RECENT - 1 + high[0]]), seen, cure)


def _collapsed(first: WatchPoint, now: WatchPoint, metric: str) -> bool:
    return now.mean(metric) < KEPT_DIVERSITY * first.mean(metric)


def _explosion(lines: Sequence[Mapping[str, Any]], name: str) -> Alarm | None:
    """The first in any stage of training: a stage records quantities of its own, and has gradients of its own size."""
    found = []
    for stage in {frozenset(line) for line in lines if name in line}:
        steps, norms = _columns([line for line in lines if line.keys() == stage], "step", name)
        found.append(exploding_gradients(steps, norms, name))
    return min((alarm for alarm in found if alarm is not None), key=lambda alarm: alarm.step, default=None)


def _hacked(peak: WatchPoint, now: WatchPoint, metric: str) -> bool:
    trained_then, trained_now = peak.reward("trained"), now.reward("trained")
    assert trained_then is not None
    assert trained_now is not None
    if _clearly_below(trained_now, trained_then):
        return _clearly_below(peak.values[metric], now.values[metric])
    held = bool(trained_now.mean() >= trained_then.mean())
    return held and _clearly_below(peak.values[metric], now.values[metric], _LARGE_SPREAD)


def _clearly_below(high: Values, low: Values, part: float = _CLEAR_SPREAD) -> bool:
    """Whether ``low[P]`` lies below ``high[P]`` by more than chance and by this part of the spread of prompts."""
    drop = high - low
    error = drop.std(ddof=1) / np.sqrt(len(drop))
    return bool(drop.mean() > max(_CLEAR_ERRORS * error, part * high.std(ddof=1)))


def _stretch_end(holds: Any) -> int | None:
    """Index at which a condition has held ``_STRETCH`` times in a row for the first time."""
    if len(holds) < _STRETCH:
        return None
    full = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(holds, _STRETCH).all(axis=1))
    return int(full[0]) + _STRETCH - 1 if len(full) else None


def _columns(lines: Sequence[Mapping[str, Any]], *names: str) -> list[Values]:
    """These columns of the lines that have them all; empty where a method does not record them."""
    table = [[line[name] for name in names] for line in lines if all(name in line for name in names)]
    return list(np.array(table, dtype=np.float64).reshape(-1, len(names)).T)


def _norms(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for line in lines for name in line if name.endswith("grad_norm")))
