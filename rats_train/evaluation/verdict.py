"""The promotion verdict: a student serves only when the numbers that it was not trained on say that it is better.

    verdict = judge(Scores.read(challenger / "scores.json"), Scores.read(champion / "scores.json"))

`rats_train.evaluation.rules` holds the conditions. Each is an interval of a paired bootstrap over prompts, and comes
out met, failed or open. All must be met for a promotion; one that failed rejects; else more samples are needed.

How many conditions there are does not raise the rate of false promotions, because a promotion needs them all (an
intersection-union test, Berger 1982), and the one gain that it has to show is a single endpoint named beforehand. False
rejections are what many conditions would bring: a condition fails on an interval widened for their number (Bonferroni).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from rats_train.errors import UserError
from rats_train.evaluation.bootstrap import Values, resampled_means
from rats_train.evaluation.document import Document
from rats_train.evaluation.protocol import NotComparableError
from rats_train.evaluation.rules import Condition, conditions, difference, heldout, incumbent_of
from rats_train.evaluation.scores import Scores
from rats_train.evaluation.verdict_text import describe, guard_note, hacking_text, more_text

LEVEL: Final = 0.95
SAMPLES: Final = 4000
SEED: Final = 0

State = Literal["met", "failed", "open"]
Decision = Literal["promote", "reject", "need more samples"]


class Reason(BaseModel):
    """One condition of the verdict, with what was seen. ``budget`` is None where all budgets are taken together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: State
    rule: str
    metric: str
    budget: int | None
    against: str
    text: str


class Verdict(Document):
    """Promote, reject or need more samples, and why.

    Attributes:
        against: whom the student was judged against, ``champion`` or ``teacher at the same steps``.
        evaluation_digest: the protocol by which both were measured.
        prompts: about how many would settle what is open, if differences stay as they are; None where nothing is.
        notes: what a reader has to know beside the reasons.
    """

    called: ClassVar[str] = "a verdict"
    cure: ClassVar[str] = "run again"

    decision: Decision
    against: str
    evaluation_digest: str
    reasons: list[Reason]
    prompts: int | None = None
    notes: list[str]

    @property
    def promoted(self) -> bool:
        """Whether the student may serve."""
        return self.decision == "promote"

    @property
    def failures(self) -> list[Reason]:
        """The conditions that were not met: first those that failed, then those that are open."""
        return [reason for state in ("failed", "open") for reason in self.reasons if reason.state == state]


@dataclass(frozen=True)
class _Seen:
    """A condition with its mean, its 95 % interval, and the upper end of the widened one."""

    condition: Condition
    mean: float
    low: float
    high: float
    widened: float

    @property
    def state(self) -> State:
        if self.condition.rule == "better":
            # Not widened: it is one test of its own, and a challenger that wins it makes its champion lose it.
            return "met" if self.low > 0 else "failed" if self.high < self.condition.ceiling else "open"
        if self.widened < self.condition.ceiling:
            return "failed"
        return "met" if self.low >= self.condition.floor else "open"


def judge(challenger: Scores, champion: Scores | None) -> Verdict:
    """Verdict on ``challenger``, against ``champion`` or, where there is none yet, its teacher at the same steps.

    Raises:
        NotComparableError: the two were not evaluated alike, or no reward is held out for both.
        UserError: no reward is held out, so nothing independent can speak; or every budget is the teacher's.
    """
    if champion:
        challenger.protocol.require_equal(champion.protocol)
    _require_evidence(challenger, champion)
    seen = _look(conditions(challenger, champion))
    hacking = _hacking(challenger, champion, seen)
    reasons = hacking + [_reason(one) for one in seen]
    states = {reason.state for reason in reasons}
    decision: Decision = "reject" if "failed" in states else "need more samples" if "open" in states else "promote"
    prompts = _settling(seen, len(challenger.prompts)) if decision == "need more samples" else None
    return Verdict(
        decision=decision,
        against=incumbent_of(champion),
        evaluation_digest=challenger.protocol.digest,
        reasons=reasons,
        prompts=prompts,
        notes=[*guard_note(challenger), *more_text(prompts, len(challenger.prompts))],
    )


def _require_evidence(challenger: Scores, champion: Scores | None) -> None:
    if not challenger.protocol.budgets:
        raise UserError("Promotion needs a budget below teacher.steps: add one to student.steps and evaluate again.")
    if heldout(challenger, champion):
        return
    cure = "name one under `rewards.heldout` in the recipe and evaluate again."
    if champion:
        raise NotComparableError(
            f"Promotion needs a reward that neither the student nor its champion was trained on: {cure}"
        )
    raise UserError(f"Promotion needs a reward that the student was not trained on: {cure}")


def _look(asked: Sequence[Condition]) -> list[_Seen]:
    """Every condition with its intervals, from the same resampled prompts."""
    contrasts: Values = np.stack([condition.contrast for condition in asked])
    means = resampled_means(contrasts, samples=SAMPLES, seed=SEED)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    # Resampling does not resolve tails this thin: their ends come from its standard error.
    reach = NormalDist().inv_cdf(1 - tail / max(1, len(asked) - 1)) * means.std(axis=0)
    found = contrasts.mean(axis=1)
    widened = np.maximum(high, found + reach)
    table = np.stack([found, low, high, widened], axis=1)
    return [_Seen(condition, *map(float, row)) for condition, row in zip(asked, table, strict=True)]


def _reason(seen: _Seen) -> Reason:
    asked = seen.condition
    return Reason(
        state=seen.state,
        rule=asked.rule,
        metric=asked.metric,
        budget=asked.budget,
        against=asked.against,
        text=describe(asked, seen.mean, seen.low, seen.high),
    )


def _hacking(challenger: Scores, champion: Scores | None, seen: Sequence[_Seen]) -> list[Reason]:
    """The name of a known failure: a trained reward rose while something independent of it fell or stayed.

    It rejects nothing that the conditions would not reject; trained rewards never decide.
    """
    fell = [one for one in seen if one.state == "failed" and one.condition.rule in ("better", "not worse", "close")]
    fell.sort(key=lambda one: one.mean >= 0)  # what fell says more than what only did not follow
    rose = {against: _rose(challenger, champion, against) for against in {one.condition.against for one in fell}}
    return [
        Reason(
            state="failed",
            rule="reward hacking",
            metric=one.condition.metric,
            budget=one.condition.budget,
            against=one.condition.against,
            text=hacking_text(rose[one.condition.against], one.condition, one.mean),
        )
        for one in fell
        if rose[one.condition.against]
    ]


def _rose(challenger: Scores, champion: Scores | None, against: str) -> dict[str, float]:
    """The trained rewards that rose over all budgets together, with their mean gain."""
    names = challenger.of_kind("trained")
    if not names:
        return {}
    budgets = challenger.protocol.budgets
    gains = [
        np.mean([difference(challenger, champion, name, budget, against) for budget in budgets], axis=0)
        for name in names
    ]
    low = np.quantile(resampled_means(np.stack(gains), samples=SAMPLES, seed=SEED), (1 - LEVEL) / 2, axis=0)
    return {name: float(gain.mean()) for name, gain, end in zip(names, gains, low, strict=True) if end > 0}


def _settling(seen: Sequence[_Seen], prompts: int) -> int | None:
    """About how many prompts would close every open condition: an interval shrinks with the root of their number."""
    needed = [_prompts_for(one, prompts) for one in seen if one.state == "open"]
    return max(needed) if needed and all(needed) else None


def _prompts_for(seen: _Seen, prompts: int) -> int:
    """0 where its mean lies below the floor, so that no number of prompts would meet it as it stands."""
    room = seen.mean - seen.condition.floor
    return 0 if room <= 0 else math.ceil(prompts * ((seen.mean - seen.low) / room) ** 2)
