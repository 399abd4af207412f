"""The work of this step, as a function of paths."""

from pathlib import Path
from typing import TYPE_CHECKING

from rats_train.errors import RetryableError, UserError
from rats_train.files import atomic_write_text, read_json

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from components.shared.students import Students


def promote(promotion: Path, summary: Path) -> str:
    """Make the judged version the champion; returns what was done, in one line.

    Raises:
        UserError: the verdict is not to promote.
        RetryableError: the champion is no longer the one that the verdict is about.
    """
    from components.shared.students import CHAMPION, Students, tracker
    from rats_train.evaluation.verdict import Verdict

    if not Verdict.read(promotion / "verdict.json").promoted:
        raise UserError(f"The verdict in {promotion} is not to promote.")
    judged = read_json(promotion / "judged.json")
    with tracker() as client:
        students = Students(client, judged["model"].removeprefix("rats-"))
        champion = students.aliased(CHAMPION)
        if (champion and champion.version) != judged["champion"]:
            raise RetryableError(
                f"While this student was tried, version {champion and champion.version} became champion of "
                f"{students.model}, and the verdict is about version {judged['champion']}: run again."
            )
        line = _promote(students, judged["version"], champion)
    atomic_write_text(summary, f"# {line}\n")
    return line


def _promote(students: "Students", number: str, champion: "ModelVersion | None") -> str:
    version = students.version(int(number))
    if champion is not None and students.same_student(version, champion):
        return f"{students.model} version {champion.version} is the champion already"
    students.promote(version)
    after = f", after version {champion.version}" if champion else ", the first"
    return f"{students.model} version {number} is champion{after}"
