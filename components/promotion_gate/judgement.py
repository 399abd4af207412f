"""A version of the registered model against the champion: whose scores to compare, and when there are none."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlflow.entities.model_registry import ModelVersion

from components.shared.students import CHAMPION, Students
from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.evaluation.protocol import NotComparableError
from rats_train.evaluation.scores import Scores
from rats_train.evaluation.verdict import Reason, Verdict, judge

if TYPE_CHECKING:
    from rats_train.evaluation.sample import OnProgress

SCORES: Final = "evaluation/scores.json"

FindScores = Callable[[ModelVersion], Scores]
"""From the champion's version to its scores, measured as the challenger's."""


def judge_version(students: Students, version: ModelVersion, challenger: Scores, find_scores: FindScores) -> Verdict:
    """The verdict on a version, given its scores.

    Raises:
        NotComparableError: its opponent's scores were not measured alike.
        UserError: a file is damaged, or nothing held out can speak.
    """
    opponent = students.opponent(version)
    return judge(challenger, None if opponent is None else find_scores(opponent))


def refused(challenger: Scores, rule: str, text: str) -> Verdict:
    """A rejection without comparison."""
    reason = Reason(state="failed", rule=rule, metric="", budget=None, against=CHAMPION, text=text)
    digest = challenger.protocol.digest
    return Verdict(decision="reject", against=CHAMPION, evaluation_digest=digest, reasons=[reason], notes=[])


def stored_scores(students: Students, version: ModelVersion, folder: Path) -> Scores:
    """What a version scored in its own evaluation.

    Raises:
        UserError: the scores are of another version of ours, or damaged.
    """
    return Scores.read(students.download(version, SCORES, folder))


def comparable_scores(
    students: Students,
    version: ModelVersion,
    challenger: Scores,
    recipe: Recipe,
    folder: Path,
    on_progress: "OnProgress | None" = None,
) -> Scores:
    """The champion's scores under the challenger's protocol: those of its own evaluation where that was the same,
    otherwise its student is drawn and scored again, on the schedule that it is served with.

    Raises:
        NotComparableError: it cannot be drawn by this recipe.
    """
    own = _readable(students, version, folder)
    if own is not None and own.protocol == challenger.protocol:
        return own
    from components.promotion_gate.redraw import redraw  # brings torch, and few gates draw

    student = students.download(version, "student", folder)
    try:
        scores = redraw(recipe, student, challenger, folder / "drawn", on_progress)
    except UserError as error:
        raise NotComparableError(f"Champion {version.version} cannot be judged by this recipe: {error}") from error
    return _with_trained(scores, own) if own is not None else scores


def _readable(students: Students, version: ModelVersion, folder: Path) -> Scores | None:
    try:
        return stored_scores(students, version, folder)
    except UserError:
        return None  # of an older release: it is scored again


def _with_trained(scores: Scores, own: Scores) -> Scores:
    """The scores with every reward marked as trained that the champion was trained on, whatever it is called here."""
    known = {own.protocol.rewards[name] for name in own.of_kind("trained")}
    trained = {name: "trained" for name, digest in scores.protocol.rewards.items() if digest in known}
    return scores.model_copy(update={"kinds": scores.kinds | trained})
