"""The watch as a figure: trained and held-out reward, and the share of right pictures, look by look."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes

from rats_train.evaluation.figures import INK, NEUTRAL, STUDENT, TEACHER, finish, inline_svg
from rats_train.evaluation.watched import WatchPoint, best_point

_COLOURS = {"trained": TEACHER, "heldout": STUDENT, "verifier": NEUTRAL}
_SAID = {"trained": "trained on", "heldout": "held out", "verifier": "rules"}


def draw_watch(axes: Axes, points: Sequence[WatchPoint]) -> None:
    """Every reward and the verifier at each look, and the look whose weights were exported."""
    steps = [point.step for point in points]
    for name, kind in points[0].kinds.items():
        if kind in _COLOURS:
            values = [point.mean(name) for point in points]
            said = f"{name}, {_SAID[kind]}"
            axes.plot(steps, values, color=_COLOURS[kind], linewidth=2, marker="o", markersize=3.5, label=said)
    best = best_point(points)
    if best is not None:
        axes.axvline(best.step, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label=f"best: step {best.step}")
    axes.legend(loc="best", fontsize=8)
    finish(axes, f"Held-out prompts at {points[0].nfe} steps")


def watch_svg(points: Sequence[WatchPoint]) -> str:
    """The figure as inline ``<svg>``; needs at least one look."""
    return inline_svg(partial(draw_watch, points=points))
