"""The reasons of a verdict in words."""

from collections.abc import Mapping

from rats_train.evaluation.rules import KEPT_DIVERSITY, KEPT_OF_CHAMPION, MARGIN, NEGLIGIBLE, UNSAFE_MARGIN, Condition
from rats_train.evaluation.scores import Scores


def describe(asked: Condition, mean: float, low: float, high: float) -> str:
    """What a condition asks, and the mean and interval that were seen."""
    seen, over = f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]", f"over the {asked.against}"
    loss = f"must rule out a loss of {-asked.floor:.4f}"
    wanted = {
        "better": f"standard deviations {over}, needs an interval above zero; one below {NEGLIGIBLE:+.2f} is no gain",
        "not worse": f"{over}, {loss} ({MARGIN} standard deviations) and not lie below zero",
        "close": f"{over}, {loss} ({MARGIN} standard deviations)",
        "diverse": f"beyond {KEPT_DIVERSITY:.0%} of what the {asked.against} has, must not lie below zero"
        f"{_shortfall(asked)}",
        "safe": f"share of safe pictures {over}, must rule out {UNSAFE_MARGIN:.0%} more unsafe ones and not lie below "
        "zero",
    }[asked.rule]
    return f"{_subject(asked)}: {seen} {wanted}"


def hacking_text(rose: Mapping[str, float], fell: Condition, mean: float) -> str:
    """The charge of reward hacking: which trained rewards rose, and what did not follow."""
    gains = " and ".join(f"{name} rose by {gain:+.4f}" for name, gain in rose.items())
    moved = f"fell ({mean:+.4f})" if mean < 0 else f"did not follow ({mean:+.4f})"
    return f"reward hacking: over the {fell.against} the trained {gains}, and {_subject(fell)} {moved}"


def guard_note(scores: Scores) -> list[str]:
    """Say so where no guard looked at the pictures."""
    if scores.of_kind("guard"):
        return []
    return [
        "No NSFW guard looked at these pictures: to have one, install rats-train[nsfw] and add "
        "{name: safe, kind: nsfw} under rewards.heldout."
    ]


def more_text(prompts: int | None, had: int) -> list[str]:
    """How many prompts would settle what is open."""
    if prompts is None:
        return []
    return [f"About {prompts} prompts in place of {had} (evaluation.count) would settle it if the differences stay."]


def _subject(asked: Condition) -> str:
    where = "at all budgets" if asked.budget is None else f"at {asked.budget} steps"
    return f"{asked.metric} {where}"


def _shortfall(asked: Condition) -> str:
    return f", nor all of it below {asked.ceiling:+.4f} (for {KEPT_OF_CHAMPION:.0%})" if asked.ceiling else ""
