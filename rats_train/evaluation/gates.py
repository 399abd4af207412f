"""The gate made visible: how hard the teacher pulled at each prompt over training, and where it still leads.

history = read_gates(run / "samples.jsonl")
svgs, rows = gate_svgs(history), still_led(history)
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from rats_train.errors import UserError
from rats_train.evaluation.bootstrap import Values
from rats_train.evaluation.figures import INK, NEUTRAL, STUDENT, TEACHER, finish, inline_svg

BINS = 24
# The share of training, at its end, over which "still leads" is judged: a prompt is seen a few times in it.
LATE = 1 / 3
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_NAMES = ("step", "gate", "reward_student", "reward_teacher")
_COLOURS = LinearSegmentedColormap.from_list("gate", [STUDENT, "#f4f1ec", TEACHER])


@dataclass(frozen=True)
class GateHistory:
    """One row a recorded sample: the training ``step[N]``, the ``prompt[N]``'s number in ``prompts``, its ``gate[N]``
    and its ``gap[N]``, the student's reward minus the teacher's."""

    prompts: list[str]
    prompt: NDArray[np.int64]
    step: Values
    gate: Values
    gap: Values


@dataclass(frozen=True)
class Led:
    """A prompt on which the teacher leads late in training: mean gap and gate then, over ``seen`` samples."""

    prompt: str
    gap: float
    gate: float
    seen: int


def read_gates(path: Path) -> GateHistory | None:
    """Read a training run's ``samples.jsonl``; None where there is none, or its method has no gate.

    Raises:
        UserError: a line is damaged.
    """
    if not path.is_file():
        return None
    try:
        rows = [json.loads(text) for text in path.read_text().splitlines()]
        if not rows or not all(name in rows[0] for name in _NAMES):
            return None
        step, gate, student, teacher = np.array([[row[name] for name in _NAMES] for row in rows], dtype=np.float64).T
        number = {prompt: place for place, prompt in enumerate(dict.fromkeys(row["prompt"] for row in rows))}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a log of samples ({error}): train again, or remove the broken line.") from error
    prompt = np.array([number[row["prompt"]] for row in rows], dtype=np.int64)
    return GateHistory(list(number), prompt, step, gate, student - teacher)


def still_led(history: GateHistory) -> list[Led]:
    """The prompts on which the teacher is ahead over the last third of training, the farthest behind first."""
    late = history.step > history.step.max() * (1 - LATE)
    prompt = history.prompt[late]
    seen = np.bincount(prompt, minlength=len(history.prompts))
    gap, gate = (
        np.bincount(prompt, weights=values[late], minlength=len(history.prompts)) / np.maximum(seen, 1)
        for values in (history.gap, history.gate)
    )
    behind = [place for place in np.argsort(gap, kind="stable") if gap[place] < 0]
    return [Led(history.prompts[i], float(gap[i]), float(gate[i]), int(seen[i])) for i in behind]


def late_prompts(history: GateHistory) -> int:
    """How many different prompts the last third of training saw."""
    return len(np.unique(history.prompt[history.step > history.step.max() * (1 - LATE)]))


def quantile_bands(history: GateHistory, values: Values, bins: int = BINS) -> tuple[Values, Values]:
    """Mean steps ``[B]`` and quantiles ``[5, B]`` (5, 25, 50, 75, 95 %) of ``values[N]`` over equal spans of steps."""
    place = _bin(history, bins)
    filled = np.unique(place)
    middle = np.array([history.step[place == number].mean() for number in filled])
    bands = np.array([np.quantile(values[place == number], _QUANTILES) for number in filled]).T
    return middle, bands


def heat_strip(history: GateHistory, bins: int = BINS) -> Values:
    """Mean gate ``[P, B]`` of each prompt over equal spans of steps, the widest at the end first.

    Where a prompt was not seen, what was seen last stands; nan until then.
    """
    size = (len(history.prompts), bins)
    cell = np.ravel_multi_index((history.prompt, _bin(history, bins)), size)
    seen = np.bincount(cell, minlength=size[0] * bins).reshape(size)
    total = np.bincount(cell, weights=history.gate, minlength=size[0] * bins).reshape(size)
    latest = np.maximum.accumulate(np.where(seen > 0, np.arange(bins), -1), axis=1)
    mean = total / np.maximum(seen, 1)
    strip = np.where(latest < 0, np.nan, np.take_along_axis(mean, np.maximum(latest, 0), axis=1))
    return cast(Values, strip[np.argsort(-strip[:, -1], kind="stable")])


def draw_gap_bands(axes: Axes, history: GateHistory) -> None:
    """The reward gap of the prompts: median, middle half, and all but the outer twentieths."""
    steps, (lowest, low, middle, high, highest) = quantile_bands(history, history.gap)
    axes.fill_between(steps, lowest, highest, color=NEUTRAL, alpha=0.18, linewidth=0)
    axes.fill_between(steps, low, high, color=STUDENT, alpha=0.35, linewidth=0)
    axes.plot(steps, middle, color=STUDENT, linewidth=2.2)
    axes.axhline(0, color=INK, linewidth=1)
    finish(axes, "Gap, prompt by prompt")


def draw_heat_strip(axes: Axes, history: GateHistory) -> None:
    """Every prompt a line, coloured by its gate: orange where the teacher pulls, blue where it has let go."""
    strip, last = heat_strip(history), float(history.step.max())
    image = axes.imshow(
        strip, aspect="auto", interpolation="nearest", cmap=_COLOURS, vmin=0, vmax=1, extent=(0, last, len(strip), 0)
    )
    axes.grid(visible=False)
    axes.set_ylabel("prompts, teacher ahead on top")
    bar = axes.figure.colorbar(image, ax=axes, ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    finish(axes, "Gate, prompt by prompt")


def gate_svgs(history: GateHistory) -> dict[str, str]:
    """The two panels as inline ``<svg>``."""
    panels = {"gap_prompts": draw_gap_bands, "gate_prompts": draw_heat_strip}
    return {name: inline_svg(partial(draw, history=history)) for name, draw in panels.items()}


def _bin(history: GateHistory, bins: int) -> NDArray[np.int64]:
    """The span of steps that each sample lies in, ``[N]`` from 0 to ``bins - 1``."""
    share = (history.step - 1) / max(float(history.step.max()), 1.0)
    return cast(NDArray[np.int64], (share * bins).astype(np.int64))
