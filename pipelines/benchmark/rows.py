"""The flat table of a benchmark: one row for every method, seed, number of steps and metric."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.benchmark.suite import Case
from pipelines.benchmark.training import Pace
from rats_train.evaluation.scorecard import Comparison, Scorecard
from rats_train.files import read_json


@dataclass(frozen=True)
class Row:
    """One number of one method.

    Attributes:
        value: the metric's mean over all images (diversity: over all prompts).
        teacher_50: the same of the guided teacher on its full schedule; ``teacher_same_nfe`` at as many steps.
        ci95: 95 % interval of ``value - teacher_50`` over prompts; ``ci95_same_nfe`` likewise.
        train_seconds: with ``seconds_to_teacher``, ``steps_to_teacher`` and ``train_memory`` as in `Pace`; the last is
            None where it was measured before it was recorded.
        commit: the source that ran this case; ``processor``: what it ran on. Seconds of two machines do not compare.
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
    processor: str
    train_memory: int | None = None


def case_rows(case: Case, run: Path, pace: Pace) -> Iterator[Row]:
    """The rows of one finished case."""
    card = Scorecard.read(run / "scorecard.json")
    record = read_json(run / "run.json")
    about = {
        **asdict(pace),
        "n_prompts": card.n_prompts,
        "recipe_digest": record["recipe_digest"],
        "commit": record["commit"],
        "processor": card.provenance.machine.processor,
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
