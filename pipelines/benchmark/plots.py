"""The pictures of a benchmark: reward against training seconds, gap against steps, and bars at every budget."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.benchmark.rows import Row, Training
from rats_train.evaluation.curves import smooth
from rats_train.evaluation.figures import NEUTRAL, STYLE, TEACHER

COLOURS: Final = ("#2a8fd8", "#8457b5", "#2f9e62", "#d1495b", "#b8860b", "#5c6b73")
POINTS: Final = 200


def save_plots(trainings: Sequence[Training], rows: Sequence[Row], stem: Path) -> list[Path]:
    """``<stem>_training.png`` and ``<stem>_budgets.png``."""
    paths = [stem.with_name(f"{stem.name}_{name}.png") for name in ("training", "budgets")]
    metrics = list(dict.fromkeys(row.metric for row in rows if row.kind != "diversity"))
    with mpl.rc_context(STYLE):
        curves = Figure(figsize=(12.8, 4.4), layout="constrained")
        left, right = curves.subplots(1, 2)
        draw_reward(left, trainings)
        draw_gap(right, trainings)
        curves.savefig(paths[0], dpi=110)
        bars = Figure(figsize=(5.2 * len(metrics), 4.2), layout="constrained")
        for axes, metric in zip(bars.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
            draw_bars(axes, [row for row in rows if row.metric == metric])
        bars.savefig(paths[1], dpi=110)
    return paths


def draw_reward(axes: Axes, trainings: Sequence[Training]) -> None:
    """Trained reward against seconds of training, mean over seeds, with the teacher's own reward as a line."""
    for colour, (method, runs) in zip(COLOURS, _by_method(trainings).items(), strict=False):
        until = min(run.seconds[-1] for run in runs)
        at = np.linspace(0, until, POINTS)
        student = np.mean([np.interp(at, run.seconds, smooth(run.curve.student)) for run in runs], axis=0)
        axes.plot(at, student, color=colour, linewidth=2, label=method)
    teacher = float(np.mean([run.curve.teacher.mean() for run in trainings]))
    axes.axhline(teacher, color=TEACHER, linestyle="--", label="teacher, full schedule")
    axes.set_xlabel("seconds of training")
    axes.set_title("Trained reward")
    axes.legend()


def draw_gap(axes: Axes, trainings: Sequence[Training]) -> None:
    """Student minus teacher on the same prompts and seeds, mean over seeds, against training steps."""
    for colour, (method, runs) in zip(COLOURS, _by_method(trainings).items(), strict=False):
        steps: NDArray[np.float64] = runs[0].curve.steps
        gap = np.mean([smooth(run.curve.gap)[: len(steps)] for run in runs], axis=0)
        axes.plot(steps, gap, color=colour, linewidth=2, label=method)
    axes.axhline(0, color=NEUTRAL, linewidth=1)
    axes.set_xlabel("training step")
    axes.set_title("Gap: student minus teacher")


def draw_bars(axes: Axes, rows: Sequence[Row]) -> None:
    """One metric: every method at every budget, mean over seeds, beside the teacher at the same steps and in full."""
    budgets = sorted({row.nfe for row in rows})
    methods = list(dict.fromkeys(row.method for row in rows))
    series = [(TEACHER, "teacher, same steps", [_mean(rows, nfe, "teacher_same_nfe") for nfe in budgets])]
    for colour, method in zip(COLOURS, methods, strict=False):
        own = [row for row in rows if row.method == method]
        series.append((colour, method, [_mean(own, nfe, "value") for nfe in budgets]))
    width = 0.8 / len(series)
    for number, (colour, label, heights) in enumerate(series):
        axes.bar(np.arange(len(budgets)) + width * number, heights, width, color=colour, label=label)
    axes.axhline(_mean(rows, None, "teacher_50"), color=TEACHER, linestyle="--", label="teacher, full schedule")
    axes.set_xticks(np.arange(len(budgets)) + 0.4 - width / 2, [f"{nfe} steps" for nfe in budgets])
    low = min(height for _, _, heights in series for height in heights)
    axes.set_ylim(bottom=max(0.0, low - 0.15))
    axes.set_title(rows[0].metric)
    axes.legend(fontsize=8)


def _by_method(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    methods = dict.fromkeys(training.method for training in trainings)
    return {method: [training for training in trainings if training.method == method] for method in methods}


def _mean(rows: Sequence[Row], nfe: int | None, field: str) -> float:
    return float(np.mean([getattr(row, field) for row in rows if nfe in (None, row.nfe)]))
