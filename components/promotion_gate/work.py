"""The work of this step, as a function of paths."""

from pathlib import Path

from components.shared.summary import write_summary
from rats_train.files import atomic_write_text


def decide(evaluation: Path, folder: Path) -> None:
    """Write ``folder/verdict``, the one word, and the reasons for it."""
    from rats_train.evaluation.scorecard import Scorecard
    from rats_train.evaluation.verdict import judge

    verdict = judge(Scorecard.read(evaluation / "scorecard.json"))
    met = len(verdict.reasons) - len(verdict.failures)
    reasons = "\n".join(f"- {'met' if reason.passed else '**not met**'}: {reason.text}" for reason in verdict.reasons)
    write_summary(folder, f"# {verdict.decision}, {met} of {len(verdict.reasons)} conditions met\n\n{reasons}")
    atomic_write_text(folder / "verdict", verdict.decision)
