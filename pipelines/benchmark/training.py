"""What the training of one case looked like: its rewards against steps and seconds, smoothed, for the plots."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.runs import step_folder
from rats_train.evaluation.bootstrap import Values
from rats_train.evaluation.curves import crossing, read_curve, smooth
from rats_train.files import read_json

EVERY: Final = 10
"""One point is kept of so many: they are means of twice as many steps."""


@dataclass(frozen=True)
class Training:
    """Smoothed rewards[T] of student and teacher at ``steps[T]``, after so many ``seconds[T]`` of training."""

    method: str
    seed: int
    steps: Values
    seconds: Values
    student: Values
    teacher: Values

    @property
    def gap(self) -> Values:
        """Student's reward minus teacher's."""
        return self.student - self.teacher


@dataclass(frozen=True)
class Pace:
    """What a training took.

    Attributes:
        train_seconds: wall time of all its steps.
        seconds_to_teacher: of those until the smoothed reward of the student stays above its teacher's, and
            ``steps_to_teacher`` likewise; None: never.
        train_memory: bytes of the process that had most.
    """

    train_seconds: float
    seconds_to_teacher: float | None
    steps_to_teacher: int | None
    train_memory: int


def read_training(method: str, seed: int, run: Path) -> tuple[Training, Pace]:
    """The training of a finished run, and how long it took."""
    log = step_folder(run, "train_student") / "log"
    metrics = log / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    passed = np.cumsum([line["seconds"] for line in lines])
    at_step = dict(zip((line["step"] for line in lines), passed, strict=True))
    curve = read_curve(metrics)
    # A student may learn in some of the steps only; the others take their time as well.
    seconds = np.array([at_step[int(step)] for step in curve.steps])
    crossed = crossing(curve.steps, smooth(curve.gap))
    pace = Pace(
        train_seconds=round(float(passed[-1]), 1),
        seconds_to_teacher=None if crossed is None else round(float(at_step[crossed]), 1),
        steps_to_teacher=crossed,
        train_memory=read_json(log / "result.json")["peak_memory"],
    )
    kept = np.unique([*range(0, len(seconds), EVERY), len(seconds) - 1])
    series = (curve.steps, seconds, smooth(curve.student), smooth(curve.teacher))
    return Training(method, seed, *(values[kept] for values in series)), pace
