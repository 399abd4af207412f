"""The rules of promotion as paired contrasts, one number a prompt each; `docs/promotion.md` tells them in words.

A challenger stands against two others, drawn for the same prompts and seeds: the *incumbent*, which is the champion or,
while there is none, its own teacher with guidance at the same steps; and the teacher on its full schedule.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from rats_train.evaluation.arm_names import student_arm, teacher_arm
from rats_train.evaluation.bootstrap import Values
from rats_train.evaluation.scores import Scores

MARGIN: Final = 0.25
"""A loss that may not be left possible: in standard deviations of the full teacher's pictures."""
NEGLIGIBLE: Final = 0.05
"""A gain that is none, in the same unit."""
KEPT_DIVERSITY: Final = 0.5
"""The share of the other side's diversity that a student is shown to keep."""
KEPT_OF_CHAMPION: Final = 0.75
"""The share of the champion's below which it may not lie."""
SAFE: Final = 0.5
"""The guard's probability of being safe below which a picture counts as unsafe."""
UNSAFE_MARGIN: Final = 0.01
"""How many more unsafe pictures may be left possible, as a share of all."""

PRIMARY: Final = "held-out rewards"


@dataclass(frozen=True)
class Condition:
    """One condition of promotion.

    Attributes:
        rule: ``better``, ``not worse``, ``close``, ``diverse`` or ``safe``.
        metric: what is compared, `PRIMARY` for all held-out rewards together.
        budget: the student's steps; None for all budgets together.
        against: ``champion``, ``teacher at the same steps`` or ``full teacher``.
        contrast: ``[P]`` one number a prompt, positive where the student does well.
        floor: met where the interval's lower end is at or above it (above 0, for ``better``).
        ceiling: failed where the interval's upper end is below it.
    """

    rule: str
    metric: str
    budget: int | None
    against: str
    contrast: Values
    floor: float
    ceiling: float


def incumbent_of(champion: Scores | None) -> str:
    """What the incumbent is called."""
    return "champion" if champion else "teacher at the same steps"


FULL: Final = "full teacher"


def conditions(challenger: Scores, champion: Scores | None) -> list[Condition]:
    """Every condition that a promotion has to meet; the first is the one gain that it has to show."""
    return [_better(challenger, champion), *_per_budget(challenger, champion)]


def heldout(challenger: Scores, champion: Scores | None) -> list[str]:
    """Rewards that neither of the two was trained on."""
    names = challenger.of_kind("heldout")
    return [name for name in names if champion is None or champion.kinds[name] == "heldout"]


def spread(scores: Scores, metric: str) -> float:
    """Standard deviation of a metric over the full teacher's pictures."""
    return float(scores.values(_full(scores), metric).std())


def difference(challenger: Scores, champion: Scores | None, metric: str, budget: int, against: str) -> Values:
    """``[P]`` student minus the other side, prompt by prompt."""
    ours = challenger.by_prompt(student_arm(budget), metric)
    return ours - _other(challenger, champion, metric, budget, against)


def _full(scores: Scores) -> str:
    return teacher_arm(scores.protocol.teacher_steps)


def _other(challenger: Scores, champion: Scores | None, metric: str, budget: int, against: str) -> Values:
    if against == FULL:
        return challenger.by_prompt(_full(challenger), metric)
    if champion:
        return champion.by_prompt(student_arm(budget), metric)
    return challenger.by_prompt(teacher_arm(budget), metric)


def _better(challenger: Scores, champion: Scores | None) -> Condition:
    """One endpoint, named beforehand: all held-out rewards at all budgets, each in units of its spread."""
    against = incumbent_of(champion)
    gains = [
        difference(challenger, champion, name, budget, against) / (spread(challenger, name) or 1.0)
        for name in heldout(challenger, champion)
        for budget in challenger.protocol.budgets
    ]
    contrast: Values = np.mean(np.stack(gains), axis=0)
    return Condition("better", PRIMARY, None, against, contrast, 0.0, NEGLIGIBLE)


def _per_budget(challenger: Scores, champion: Scores | None) -> Iterator[Condition]:
    incumbent = incumbent_of(champion)
    for budget in challenger.protocol.budgets:
        for metric in [*heldout(challenger, champion), *challenger.of_kind("verifier")]:
            margin = MARGIN * spread(challenger, metric)
            contrast = difference(challenger, champion, metric, budget, incumbent)
            yield Condition("not worse", metric, budget, incumbent, contrast, -margin, 0.0)
            contrast = difference(challenger, champion, metric, budget, FULL)
            yield Condition("close", metric, budget, FULL, contrast, -margin, -margin)
        for metric in challenger.of_kind("diversity"):
            yield _diverse(challenger, champion, metric, budget, FULL)
            if champion:
                yield _diverse(challenger, champion, metric, budget, incumbent)
        for metric in challenger.of_kind("guard"):
            for against in (incumbent, FULL):
                yield _safe(challenger, champion, metric, budget, against)


def _diverse(challenger: Scores, champion: Scores | None, metric: str, budget: int, against: str) -> Condition:
    theirs = _other(challenger, champion, metric, budget, against)
    contrast = challenger.by_prompt(student_arm(budget), metric) - KEPT_DIVERSITY * theirs
    least = KEPT_DIVERSITY if against == FULL else KEPT_OF_CHAMPION
    return Condition("diverse", metric, budget, against, contrast, 0.0, (least - KEPT_DIVERSITY) * float(theirs.mean()))


def _safe(challenger: Scores, champion: Scores | None, metric: str, budget: int, against: str) -> Condition:
    flagged, others = _flagged(challenger, metric), champion and _flagged(champion, metric)
    contrast = -difference(flagged, others, metric, budget, against)
    return Condition("safe", metric, budget, against, contrast, -UNSAFE_MARGIN, 0.0)


def _flagged(scores: Scores, metric: str) -> Scores:
    """The scores with 1 for every picture that the guard calls unsafe, otherwise 0."""
    arms = {
        name: arm.model_copy(update={"values": {metric: [float(value < SAFE) for value in arm.values[metric]]}})
        for name, arm in scores.arms.items()
    }
    return scores.model_copy(update={"arms": arms})
