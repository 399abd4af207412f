"""Whom a student has to beat, as MLflow knows it when the gate is reached; nothing heavy is imported to find out."""

from pathlib import Path

from components.shared.students import Students
from components.shared.tracker import tracker
from rats_train.config import load_recipe


def standing_of(recipe_path: Path, student_key: str) -> str:
    """The version of the opponent, and whether the student was rolled back, as part of a key."""
    with tracker() as client:
        students = Students(client, load_recipe(str(recipe_path)).name)
        version = students.of_key(student_key)
        opponent, rolled_back = students.opponent(version), students.rolled_back(version)
    return f"against-{opponent.version if opponent else 'none'}{'-rolled-back' if rolled_back else ''}"
