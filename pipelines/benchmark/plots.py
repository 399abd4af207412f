"""The plots of a benchmark: reward against seconds, gap against steps, every method's curves, bars at every budget."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.benchmark.rows import Row
from pipelines.benchmark.training import Training
from rats_train.evaluation.figures import NEUTRAL, STUDENT, STYLE, TEACHER, finish

PALETTE: Final = ("#2a8fd8", "#8457b5", "#2f9e62", "#d1495b", "#b8860b", "#5c6b73")
Colours = Mapping[str, Any]
POINTS: Final = 200
PANELS_A_ROW: Final = 4


def save_plots(trainings: Sequence[Training], rows: Sequence[Row], stem: Path) -> list[Path]:
    """``<stem>_training.png``, ``<stem>_curves.png`` and ``<stem>_budgets.png``."""
    with mpl.rc_context(STYLE):
        trained, colours = _trained(rows), _colours(rows)
        figures = {
            "training": _training(trainings, trained, colours),
            "curves": _curves(trainings, trained),
            "budgets": _budgets([row for row in rows if row.kind != "diversity"], colours),
        }
        paths = [stem.with_name(f"{stem.name}_{name}.png") for name in figures]
        for path, figure in zip(paths, figures.values(), strict=True):
            figure.savefig(path, dpi=110)
    return paths


def _trained(rows: Sequence[Row]) -> dict[str, str]:
    """What each method was trained on, for only sums of the same rewards share a scale."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.kind == "trained":
            found.setdefault(row.method, {})[row.metric] = None
    return {method: " + ".join(metrics) for method, metrics in found.items()}


def _training(trainings: Sequence[Training], trained: Mapping[str, str], colours: Colours) -> Figure:
    """Two panels for each sum of rewards that is trained on: reward against seconds, gap against steps."""
    sums = list(dict.fromkeys(trained[training.method] for training in trainings))
    figure = Figure(figsize=(14.4, 4.4 * len(sums)), layout="constrained")
    for rewards, (left, right) in zip(sums, figure.subplots(len(sums), 2, squeeze=False), strict=True):
        own = [training for training in trainings if trained[training.method] == rewards]
        draw_reward(left, own, f"Trained on {rewards}", colours)
        draw_gap(right, own, colours)
        right.legend(*left.get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure


def _curves(trainings: Sequence[Training], trained: Mapping[str, str]) -> Figure:
    """A panel a method: student and teacher over training steps, mean over seeds."""
    methods = _by_method(trainings)
    across = min(len(methods), PANELS_A_ROW)
    down = math.ceil(len(methods) / across)
    figure = Figure(figsize=(4.3 * across, 3.4 * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).flat
    first: dict[str, Axes] = {}
    for (method, runs), axes in zip(methods.items(), panels, strict=False):
        if (shared := first.setdefault(trained[method], axes)) is not axes:
            axes.sharey(shared)
        mean = mean_training(runs)
        axes.plot(mean.steps, mean.teacher, color=TEACHER, linewidth=2, label="teacher")
        axes.plot(mean.steps, mean.student, color=STUDENT, linewidth=2, label="student")
        axes.legend(loc="best")
        finish(axes, method)
    for axes in panels:
        axes.set_axis_off()
    return figure


def _budgets(rows: Sequence[Row], colours: Colours) -> Figure:
    metrics = list(dict.fromkeys(row.metric for row in rows))
    figure = Figure(figsize=(5.2 * len(metrics) + 2, 4.2), layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        draw_bars(axes, [row for row in rows if row.metric == metric], colours)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
    return figure


def draw_reward(axes: Axes, trainings: Sequence[Training], title: str, colours: Colours) -> None:
    """Trained reward against seconds of training, mean over seeds, with the teacher's own reward as a line."""
    for method, runs in _by_method(trainings).items():
        until = min(run.seconds[-1] for run in runs)
        at = np.linspace(0, until, POINTS)
        student = np.mean([np.interp(at, run.seconds, run.student) for run in runs], axis=0)
        axes.plot(at, student, color=colours[method], linewidth=2, label=method)
    teacher = float(np.mean([run.teacher.mean() for run in trainings]))
    axes.axhline(teacher, color=TEACHER, linestyle="--", label="teacher, full schedule")
    axes.set_xlabel("seconds of training")
    axes.set_title(title)


def draw_gap(axes: Axes, trainings: Sequence[Training], colours: Colours) -> None:
    """Student minus teacher on the same prompts and seeds, mean over seeds, against training steps."""
    for method, runs in _by_method(trainings).items():
        mean = mean_training(runs)
        axes.plot(mean.steps, mean.gap, color=colours[method], linewidth=2, label=method)
    axes.axhline(0, color=NEUTRAL, linewidth=1)
    axes.set_xlabel("training step")
    axes.set_title("Gap: student minus teacher")


def draw_bars(axes: Axes, rows: Sequence[Row], colours: Colours) -> None:
    """One metric: every method at every budget, mean over seeds, beside the teacher at the same steps and in full."""
    budgets = sorted({row.nfe for row in rows})
    methods = list(dict.fromkeys(row.method for row in rows))
    series: list[tuple[Any, str, list[float]]] = [
        (TEACHER, "teacher, same steps", [_mean(rows, nfe, "teacher_same_nfe") for nfe in budgets])
    ]
    for method in methods:
        own = [row for row in rows if row.method == method]
        series.append((colours[method], method, [_mean(own, nfe, "value") for nfe in budgets]))
    width = 0.8 / len(series)
    for number, (colour, label, heights) in enumerate(series):
        axes.bar(np.arange(len(budgets)) + width * number, heights, width, color=colour, label=label)
    axes.axhline(_mean(rows, None, "teacher_50"), color=TEACHER, linestyle="--", label="teacher, full schedule")
    axes.set_xticks(np.arange(len(budgets)) + 0.4 - width / 2, [f"{nfe} steps" for nfe in budgets])
    low = min(height for _, _, heights in series for height in heights if not math.isnan(height))
    axes.set_ylim(bottom=max(0.0, low - 0.15))
    axes.set_title(rows[0].metric)


def mean_training(runs: Sequence[Training]) -> Training:
    """The mean over the seeds of one method, as far as the shortest of their trainings goes."""
    points = min(len(run.steps) for run in runs)
    steps, seconds, student, teacher = (
        np.mean([getattr(run, name)[:points] for run in runs], axis=0)
        for name in ("steps", "seconds", "student", "teacher")
    )
    return Training(runs[0].method, runs[0].seed, steps, seconds, student, teacher)


def _by_method(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    methods = dict.fromkeys(training.method for training in trainings)
    return {method: [training for training in trainings if training.method == method] for method in methods}


def _colours(rows: Sequence[Row]) -> dict[str, Any]:
    """One for each method: of the palette, or an even share of a colour map where that has too few."""
    methods = list(dict.fromkeys(row.method for row in rows))
    if len(methods) <= len(PALETTE):
        return dict(zip(methods, PALETTE, strict=False))
    return dict(zip(methods, mpl.colormaps["turbo"](np.linspace(0.05, 0.95, len(methods))), strict=True))


def _mean(rows: Sequence[Row], nfe: int | None, field: str) -> float:
    """The mean over seeds at one budget (None: at all of them); NaN where a method has no such budget."""
    values = [getattr(row, field) for row in rows if nfe in (None, row.nfe)]
    return float(np.mean(values)) if values else math.nan
