"""A scorecard in words: one sentence and three numbers, the way a person would tell a colleague."""

from dataclasses import dataclass

from rats_train.evaluation.arm_names import student_arm, teacher_arm
from rats_train.evaluation.bootstrap import Interval
from rats_train.evaluation.scorecard import Scorecard
from rats_train.evaluation.scores import ALL_CORRECT
from rats_train.evaluation.verdict import Verdict


@dataclass(frozen=True)
class Headline:
    """One difference that matters, in the metric's own unit, and what it is a difference of."""

    metric: str
    gap: float
    ci95: Interval
    label: str


def headlines(card: Scorecard) -> list[Headline]:
    """Held-out reward where steps are fewest, trained reward (if one judges) against the full teacher, and correctness.

    Without a verifier the third is the held-out reward against the full teacher. A judged scorecard always holds a
    held-out reward.
    """
    few, many, full = card.budgets[0], card.budgets[-1], card.settings.teacher_steps
    heldout = card.of_kind("heldout")[0]
    first = card.comparison(few, heldout)
    found = [Headline(heldout, first.gap, first.ci95, f"student at {few} steps over the teacher at {few}")]
    for trained in card.of_kind("trained")[:1]:
        second = card.comparison(many, trained)
        label = f"student at {many} steps over the teacher at {full}"
        found.append(Headline(trained, second.gap_50, second.ci95_50, label))
    if ALL_CORRECT in card.kinds:
        third = card.comparison(few, ALL_CORRECT)
        found.append(Headline(ALL_CORRECT, third.gap, third.ci95, f"student at {few} steps over the teacher at {few}"))
    else:
        third = card.comparison(many, heldout)
        label = f"student at {many} steps over the teacher at {full}"
        found.append(Headline(heldout, third.gap_50, third.ci95_50, label))
    return found


def sentence(card: Scorecard, verdict: Verdict) -> str:
    """The verdict in one sentence."""
    if not verdict.promoted:
        unmet, decided = verdict.failures, "Not promoted" if verdict.decision == "reject" else "Need more samples"
        return f"{decided}: {len(unmet)} of {len(verdict.reasons)} conditions are not met; {unmet[0].text}."
    budgets, full = card.budgets, card.settings.teacher_steps
    cost = card.arms[teacher_arm(full)].evaluations
    spent = join_words([str(card.arms[student_arm(budget)].evaluations) for budget in budgets], "or")
    rewards = "the held-out rewards" if len(card.of_kind("heldout")) > 1 else "the held-out reward"
    beaten = "the champion" if verdict.against == "champion" else "its own teacher at the same steps"
    steps = join_words([str(budget) for budget in budgets])
    return (
        f"Promoted: at {steps} steps the student beats {beaten} on {rewards}, "
        f"with {spent} network evaluations a picture where the {full}-step teacher takes {cost}."
    )


def join_words(words: list[str], last: str = "and") -> str:
    """``3, 5 and 8``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
