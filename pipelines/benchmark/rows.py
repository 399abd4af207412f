"""The flat table of a benchmark: one row for every method, seed, number of steps and metric."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.benchmark.suite import Case
from pipelines.runs import step_folder
from rats_train.evaluation.bootstrap import Values
from rats_train.evaluation.curves import Curve, crossing, read_curve, smooth
from rats_train.evaluation.scorecard import Comparison, Scorecard
from rats_train.files import read_json


@dataclass(frozen=True)
class Row:
    """One number of one method.

    Attributes:
        value: the metric's mean over all images (diversity: over all prompts).
        teacher_50: the same of the guided teacher on its full schedule; ``teacher_same_nfe`` at as many steps.
        ci95: 95 % interval of ``value - teacher_50`` over prompts; ``ci95_same_nfe`` likewise.
        train_seconds: wall time of all training steps.
        seconds_to_teacher: of those until the smoothed reward of the student stays above its teacher's; None: never.
        commit: the source that ran this case.
    """

    method: str
    seed: int
    nfe: int
    metric: str
    kind: str
    value: float
    teacher_50: float
    teacher_same_nfe: float
    n_prompts: int
    ci95: tuple[float, float]
    ci95_same_nfe: tuple[float, float]
    train_seconds: float
    seconds_to_teacher: float | None
    steps_to_teacher: int | None
    recipe_digest: str
    commit: str | None


@dataclass(frozen=True)
class Training:
    """What one training logged, the seconds[T] that had passed at each point of its curve, and at its end."""

    method: str
    curve: Curve
    seconds: Values
    total_seconds: float

    @property
    def steps_to_teacher(self) -> int | None:
        """The step from which the smoothed reward stays above the teacher's."""
        return crossing(self.curve.steps, smooth(self.curve.gap))

    @property
    def seconds_to_teacher(self) -> float | None:
        """The seconds until then."""
        step = self.steps_to_teacher
        return None if step is None else float(self.seconds[np.searchsorted(self.curve.steps, step)])


def read_training(case: Case, run: Path) -> Training:
    """The training of one finished case."""
    metrics = step_folder(run, "train_student") / "log" / "metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    passed = np.cumsum([line["seconds"] for line in lines])
    at_step = dict(zip((line["step"] for line in lines), passed, strict=True))
    curve = read_curve(metrics)
    # A student may learn in some of the steps only; the others take their time as well.
    return Training(case.method, curve, np.array([at_step[int(step)] for step in curve.steps]), float(passed[-1]))


def case_rows(case: Case, run: Path, training: Training) -> Iterator[Row]:
    """The rows of one finished case."""
    card = Scorecard.read(run / "scorecard.json")
    record = read_json(run / "run.json")
    seconds = training.seconds_to_teacher
    about = {
        "n_prompts": card.n_prompts,
        "train_seconds": round(training.total_seconds, 1),
        "seconds_to_teacher": None if seconds is None else round(seconds, 1),
        "steps_to_teacher": training.steps_to_teacher,
        "recipe_digest": record["recipe_digest"],
        "commit": record["commit"],
    }
    for budget in card.budgets:
        for metric in card.kinds:
            yield _row(case, budget, metric, card.comparison(budget, metric), about)


def _row(case: Case, budget: int, metric: str, seen: Comparison, about: Mapping[str, Any]) -> Row:
    return Row(
        method=case.method,
        seed=case.seed,
        nfe=budget,
        metric=metric,
        kind=seen.kind,
        value=seen.student,
        teacher_50=seen.teacher_50,
        teacher_same_nfe=seen.teacher_same_nfe,
        ci95=seen.ci95_50,
        ci95_same_nfe=seen.ci95,
        **about,
    )
