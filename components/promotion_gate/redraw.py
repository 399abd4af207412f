"""A champion that was evaluated otherwise, drawn and scored again as the challenger was."""

from pathlib import Path

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.evaluation.sample import OnProgress, score_student
from rats_train.evaluation.scores import Scores
from rats_train.files import read_json
from rats_train.models.folder import STUDENT_CARD


def redraw(recipe: Recipe, student: Path, challenger: Scores, folder: Path, on_progress: OnProgress | None) -> Scores:
    """What a student scores by ``recipe``, on the schedule that it is served with.

    Raises:
        UserError: it does not serve the challenger's steps, or cannot be drawn by this recipe.
    """
    return score_student(_on_own_schedule(recipe, student, challenger), student, folder, on_progress)


def _on_own_schedule(recipe: Recipe, student: Path, challenger: Scores) -> Recipe:
    card = read_json(student / STUDENT_CARD)
    if missing := sorted(set(challenger.protocol.budgets) - set(card["steps"])):
        raise UserError(f"it serves {card['steps']} steps and not {missing}; give the recipe another name")
    own = recipe.student.model_copy(update={"terminal_sigma": card["terminal_sigma"]})
    return recipe.model_copy(update={"student": own})
