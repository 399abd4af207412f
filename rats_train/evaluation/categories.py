"""Student against the full teacher category by category: a description that decides nothing.

Many rows of few prompts each: of twenty intervals one lies apart by chance.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from rats_train.evaluation.arm_names import student_arm, teacher_arm
from rats_train.evaluation.bootstrap import Interval, Values, resampled_means
from rats_train.evaluation.scores import Kind, Scores

FEWEST = 8
"""Prompts below which an interval would promise more than they hold."""


class CategoryRow(BaseModel):
    """One metric over the prompts of one category at one budget; ``ci95_50`` is None where they are few."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tag: str
    category: str
    prompts: int
    budget: int
    metric: str
    kind: Kind
    student: float
    teacher_50: float
    gap_50: float
    ci95_50: Interval | None


def compare_categories(scores: Scores, *, samples: int, seed: int) -> list[CategoryRow]:
    """Rewards and verifier of every category, in the order in which categories first appear."""
    metrics = scores.of_kind("heldout", "trained", "verifier")
    return [
        _row(scores, tag, category, rows, budget, metric, samples, seed)
        for (tag, category), rows in _members(scores.tags).items()
        for budget in scores.protocol.budgets
        for metric in metrics
    ]


def _members(tags: Sequence[dict[str, str]]) -> dict[tuple[str, str], list[int]]:
    """Prompt indices by tag and category."""
    members: dict[tuple[str, str], list[int]] = {}
    for tag in dict.fromkeys(tag for own in tags for tag in own):
        for index, own in enumerate(tags):
            if tag in own:
                members.setdefault((tag, own[tag]), []).append(index)
    return members


def _row(
    scores: Scores, tag: str, category: str, rows: list[int], budget: int, metric: str, samples: int, seed: int
) -> CategoryRow:
    student = scores.by_prompt(student_arm(budget), metric)[rows]
    teacher = scores.by_prompt(teacher_arm(scores.protocol.teacher_steps), metric)[rows]
    gap = student - teacher
    return CategoryRow(
        tag=tag,
        category=category,
        prompts=len(rows),
        budget=budget,
        metric=metric,
        kind=scores.kinds[metric],
        student=float(student.mean()),
        teacher_50=float(teacher.mean()),
        gap_50=float(gap.mean()),
        ci95_50=_interval(gap[None], samples, seed) if len(rows) >= FEWEST else None,
    )


def _interval(gap: Values, samples: int, seed: int) -> Interval:
    low, high = np.quantile(resampled_means(gap, samples=samples, seed=seed), [0.025, 0.975])
    return float(low), float(high)
