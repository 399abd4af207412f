"""How our figures look: colours, style, and figures as part of a page whose theme they follow."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Blue and orange differ for every common kind of colour blindness, and both stand out on white and on near black.
STUDENT, TEACHER, NEUTRAL = "#2a8fd8", "#e07b16", "#808790"
# Stands for "the colour of the text around": replaced by `currentColor`, so that a figure follows the page's theme.
INK = "#123456"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rats",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
}
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")


def inline_svg(draw: Callable[[Axes], None]) -> str:
    """What ``draw`` paints as one inline ``<svg>``, transparent, coloured like the text around it."""
    with mpl.rc_context(STYLE | dict.fromkeys(_INKED, INK)):
        figure = Figure(figsize=(4.8, 3.3), layout="constrained")
        draw(figure.subplots())
        buffer = StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


def finish(axes: Axes, title: str) -> None:
    """Title and labels of a panel over training steps."""
    axes.set_title(title)
    axes.set_xlabel("training step")
    axes.margins(x=0.01)
