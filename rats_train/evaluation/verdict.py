"""The promotion verdict: a student serves only when the numbers that it was not trained on say that it is better.

At every budget the student must beat the guided teacher at the same number of steps on each held-out reward (the whole
interval above zero), must not be below it on the verifier, and must keep most of the full teacher's diversity. A win
asks for an interval above zero, so when student and teacher change places a promotion turns into a rejection.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from rats_train.errors import UserError
from rats_train.evaluation.scorecard import Comparison, Scorecard

KEPT_DIVERSITY = 0.5


class Reason(BaseModel):
    """One condition of the verdict, with what was seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    passed: bool
    budget: int
    metric: str
    text: str


class Verdict(BaseModel):
    """Promote or reject, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision: Literal["promote", "reject"]
    reasons: list[Reason]

    @property
    def promoted(self) -> bool:
        """Whether the student may serve."""
        return self.decision == "promote"

    @property
    def failures(self) -> list[Reason]:
        """The conditions that were not met."""
        return [reason for reason in self.reasons if not reason.passed]


def judge(card: Scorecard) -> Verdict:
    """Verdict on the student of ``card``.

    Raises:
        UserError: the scorecard holds no held-out reward, so nothing independent can speak for the student.
    """
    if not card.of_kind("heldout"):
        raise UserError(
            "Promotion needs a reward that the student was not trained on: name one under `rewards.heldout` in the "
            "recipe and evaluate again."
        )
    reasons = [reason for budget in card.budgets for reason in _judge_budget(card, budget)]
    return Verdict(decision="promote" if all(reason.passed for reason in reasons) else "reject", reasons=reasons)


def _judge_budget(card: Scorecard, budget: int) -> list[Reason]:
    trained_up = any(card.comparison(budget, name).ci95[0] > 0 for name in card.of_kind("trained"))
    heldout = [_heldout(card.comparison(budget, name), budget, name, trained_up) for name in card.of_kind("heldout")]
    verifier = [_verifier(card.comparison(budget, name), budget, name) for name in card.of_kind("verifier")]
    diversity = [_diversity(card.comparison(budget, name), budget, name) for name in card.of_kind("diversity")]
    return heldout + verifier + diversity


def _heldout(seen: Comparison, budget: int, name: str, trained_up: bool) -> Reason:
    passed = seen.ci95[0] > 0
    hacking = " while the trained reward rose: it may have been gamed" if trained_up and not passed else ""
    text = f"held-out {name} at {budget} steps: {_signed(seen)}, needs an interval above zero{hacking}"
    return Reason(passed=passed, budget=budget, metric=name, text=text)


def _verifier(seen: Comparison, budget: int, name: str) -> Reason:
    text = f"{name} at {budget} steps: {_signed(seen)}, must not lie below zero"
    return Reason(passed=seen.ci95[1] >= 0, budget=budget, metric=name, text=text)


def _diversity(seen: Comparison, budget: int, name: str) -> Reason:
    text = (
        f"{name} at {budget} steps: {seen.student:.3f} against the full teacher's {seen.teacher_50:.3f}, "
        f"must keep {KEPT_DIVERSITY:.0%}"
    )
    passed = seen.student >= KEPT_DIVERSITY * seen.teacher_50
    return Reason(passed=passed, budget=budget, metric=name, text=text)


def _signed(seen: Comparison) -> str:
    low, high = seen.ci95
    return f"{seen.gap:+.4f} [{low:+.4f}, {high:+.4f}] over the teacher at the same steps"
