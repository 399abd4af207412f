"""Training curves: the student's reward meeting its teacher's, the gap between them, and the gate that answers it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rats_train.errors import UserError
from rats_train.evaluation.bootstrap import Values
from rats_train.evaluation.figures import INK, NEUTRAL, STUDENT, STYLE, TEACHER, finish, inline_svg

# Of 20, chance alone (.03 a step in the embedded world) takes a student who leads by .01 back below its teacher.
WINDOW = 40


@dataclass(frozen=True)
class Curve:
    """What training logged, one value for each step in which the student learned, steps ascending; no gate (NaN) where
    the method has none."""

    steps: Values
    student: Values
    teacher: Values
    gate_mean: Values
    gate_min: Values
    gate_max: Values

    @property
    def gap(self) -> Values:
        """Student's reward minus teacher's."""
        return self.student - self.teacher

    @property
    def has_gate(self) -> bool:
        """Whether the method that was trained has a gate."""
        return not np.isnan(self.gate_mean).all()


def read_curve(path: Path) -> Curve:
    """Read a training run's ``metrics.jsonl``; of steps that were repeated after a resume the last one counts.

    Raises:
        UserError: the file is missing, empty, or a line lacks a value that the curves need.
    """
    if not path.is_file():
        raise UserError(f"No training metrics at {path}: name the folder that a training run wrote")
    try:
        lines = [json.loads(text) for text in path.read_text().splitlines()]
        rows = {row["step"]: row for row in lines if any(key in row for key in _KEYS[1:])}
        keys = _KEYS if any("gate_mean" in row for row in rows.values()) else _KEYS[:3]
        table = np.array([[rows[step][key] for key in keys] for step in sorted(rows)], dtype=np.float64)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a training log ({error}): train again, or remove the broken line") from error
    if not len(table):
        raise UserError(f"{path} holds no step yet: wait for training to log one")
    missing = np.full((len(_KEYS) - len(keys), len(table)), np.nan)
    return Curve(*table.T, *missing)


_KEYS = ("step", "reward_student", "reward_teacher", "gate_mean", "gate_min", "gate_max")


def smooth(values: Values, window: int = WINDOW) -> Values:
    """Mean of the ``window`` values around every step; of as many as there are at both ends.

    Of the values up to a step it would be late by half a window.
    """
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1) + window // 2
    start = np.maximum(end - window, 0)
    end = np.minimum(end, len(values))
    return cast(Values, (total[end] - total[start]) / (end - start))


def crossing(steps: Values, gap: Values) -> int | None:
    """The step from which ``gap`` stays above zero to the end; None when it ends at or below zero."""
    below = np.flatnonzero(gap <= 0)
    first = 0 if not len(below) else int(below[-1]) + 1
    return int(steps[first]) if first < len(steps) else None


def draw_rewards(axes: Axes, curve: Curve) -> None:
    """Student's and teacher's reward: every step faintly, the moving mean on top."""
    for label, values, colour in (("teacher", curve.teacher, TEACHER), ("student", curve.student, STUDENT)):
        axes.plot(curve.steps, values, color=colour, alpha=0.22, linewidth=0.8)
        axes.plot(curve.steps, smooth(values), color=colour, linewidth=2.2, label=label)
    axes.legend(loc="best")
    finish(axes, "Reward while training")


def draw_gap(axes: Axes, curve: Curve) -> None:
    """The gap, shaded by its sign, with the step marked from which the student stays ahead."""
    gap = smooth(curve.gap)
    axes.plot(curve.steps, gap, color=INK, linewidth=1.6)
    axes.fill_between(
        curve.steps, gap, 0, where=list(gap > 0), interpolate=True, color=STUDENT, alpha=0.35, linewidth=0
    )
    axes.fill_between(
        curve.steps, gap, 0, where=list(gap <= 0), interpolate=True, color=TEACHER, alpha=0.35, linewidth=0
    )
    axes.axhline(0, color=NEUTRAL, linewidth=1)
    step = crossing(curve.steps, gap)
    if step is not None:
        axes.axvline(step, color=STUDENT, linewidth=1.4, linestyle=(0, (4, 3)))
        axes.annotate(
            f"ahead from step {step}", (step, 0.04), xycoords=("data", "axes fraction"), xytext=(5, 0),
            textcoords="offset points", color=INK, ha="left" if step < curve.steps.mean() else "right",
        )  # fmt: skip
    finish(axes, "Gap: student minus teacher")


def draw_gate(axes: Axes, curve: Curve) -> None:
    """Mean gate with the band from its least to its greatest value; 0.5 is where student and teacher are equal."""
    axes.fill_between(
        curve.steps, smooth(curve.gate_min), smooth(curve.gate_max), color=NEUTRAL, alpha=0.25, linewidth=0
    )
    axes.plot(curve.steps, smooth(curve.gate_mean), color=STUDENT, linewidth=2.2)
    axes.axhline(0.5, color=NEUTRAL, linewidth=1)
    axes.set_ylim(0, 1)
    finish(axes, "Gate: how hard the teacher pulls")


PANELS = {"reward": draw_rewards, "gap": draw_gap, "gate": draw_gate}


def _panels(curve: Curve) -> dict[str, Callable[[Axes], None]]:
    """The panels of this curve, each ready to draw on axes."""

    def of(draw: Callable[[Axes, Curve], None]) -> Callable[[Axes], None]:
        return lambda axes: draw(axes, curve)

    return {name: of(draw) for name, draw in PANELS.items() if name != "gate" or curve.has_gate}


def curve_svgs(curve: Curve) -> dict[str, str]:
    """One inline ``<svg>`` a panel, transparent, coloured like the text around it."""
    return {name: inline_svg(panel) for name, panel in _panels(curve).items()}


def save_curves(curve: Curve, path: Path) -> None:
    """All panels side by side as one picture (the suffix of ``path`` decides the format)."""
    with mpl.rc_context(STYLE):
        panels = _panels(curve)
        figure = Figure(figsize=(4.5 * len(panels), 3.8), layout="constrained")
        for axes, draw in zip(figure.subplots(1, len(panels)), panels.values(), strict=True):
            draw(axes)
        figure.savefig(path, dpi=120)
