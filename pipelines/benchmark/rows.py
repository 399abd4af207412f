"""The flat table of a benchmark: one row for every method, seed, number of steps and metric."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from pipelines.benchmark.suite import Case
from pipelines.benchmark.training import Pace
from rats_train.evaluation.scorecard import Comparison, Scorecard
from rats_train.evaluation.scores import ALL_CORRECT, SCENE_LIKENESS
from rats_train.files import read_json
from rats_train.recipe_rewards import Rewards, RewardSpec, Statistics

_JUDGES: Final = {"verifier": ALL_CORRECT, "likeness": SCENE_LIKENESS}


@dataclass(frozen=True)
class Row:
    """One number of one method.

    Attributes:
        value: the metric's mean over all images (diversity: over all prompts), in the reward's own units.
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


def case_rows(case: Case, rewards: Rewards, run: Path, pace: Pace) -> Iterator[Row]:
    """The rows of one finished case, whose resolved recipe has these ``rewards``."""
    card = Scorecard.read(run / "scorecard.json")
    record = read_json(run / "run.json")
    about = {
        **asdict(pace),
        "n_prompts": card.n_prompts,
        "recipe_digest": record["recipe_digest"],
        "commit": record["commit"],
        "processor": card.provenance.machine.processor,
    }
    specs = {spec.name: spec for spec in (*rewards.train, *rewards.heldout)}
    for budget in card.budgets:
        for metric in card.kinds:
            row = _row(case, budget, metric, card.comparison(budget, metric), about)
            # A guard is judged on its own scale.
            yield _in_own_units(row, specs[metric]) if metric in specs and row.kind != "guard" else row


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


def judged_as(spec: RewardSpec) -> str:
    """The metric of a reward: the world's own have the names under which they judge those who do not train on them."""
    return _JUDGES.get(spec.kind, spec.name)


def _in_own_units(row: Row, spec: RewardSpec) -> Row:
    """The row with the reward's raw values.

    So methods that scale their rewards, or train on what judges others, stand in one table with those.
    """
    scale = spec.statistics or Statistics(mean=0.0, std=1.0)

    def raw(value: float) -> float:
        return value * scale.std + scale.mean

    return replace(
        row,
        metric=judged_as(spec),
        value=raw(row.value),
        teacher_50=raw(row.teacher_50),
        teacher_same_nfe=raw(row.teacher_same_nfe),
        ci95=(row.ci95[0] * scale.std, row.ci95[1] * scale.std),
        ci95_same_nfe=(row.ci95_same_nfe[0] * scale.std, row.ci95_same_nfe[1] * scale.std),
    )
