"""How a training went, for whoever shows it: figures, alarms, the exported look, and where the teacher still leads."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rats_train.evaluation.alarms import ALARMS, Alarm, read_alarms
from rats_train.evaluation.curves import curve_svgs, read_curve
from rats_train.evaluation.gates import Led, gate_svgs, late_prompts, read_gates, still_led
from rats_train.evaluation.watch_figure import watch_svg
from rats_train.evaluation.watched import WATCH, best_point, read_watch


@dataclass(frozen=True)
class Learning:
    """What a training folder tells.

    Attributes:
        svgs: panel -> inline ``<svg>``; the watch and the prompts have panels where they were recorded.
        alarms: what was wrong, by step.
        best: step of the best look, None where no look was scored.
        led: prompts on which the teacher leads at the end, the farthest behind first.
        late: how many prompts were seen at the end; 0 where the method has no gate.
    """

    svgs: Mapping[str, str]
    alarms: list[Alarm]
    best: int | None
    led: list[Led]
    late: int


def read_learning(folder: Path) -> Learning:
    """Read what a training run left in ``folder``.

    Raises:
        UserError: the metrics are missing, or a file is damaged.
    """
    points, history = read_watch(folder / WATCH), read_gates(folder / "samples.jsonl")
    best = best_point(points)
    return Learning(
        svgs={
            **curve_svgs(read_curve(folder / "metrics.jsonl")),
            **({"watch": watch_svg(points)} if points else {}),
            **(gate_svgs(history) if history else {}),
        },
        alarms=read_alarms(folder / ALARMS),
        best=None if best is None else best.step,
        led=still_led(history) if history else [],
        late=late_prompts(history) if history else 0,
    )
