"""The work of this step, as functions of paths."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from components.shared.summary import publish_summary
from rats_train.errors import RetryableError, UserError
from rats_train.files import read_json

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from components.shared.students import Students

MODELS_VARIABLE = "RATS_MODELS"


def deploy_package(package: Path) -> None:
    """Let the package be served by the model repository that `RATS_MODELS` names, if it names one; twice is once.

    Raises:
        UserError: the package is not what was signed, or the disk is full; what was served stays.
    """
    if models := os.environ.get(MODELS_VARIABLE):
        from serving.packaging.deployment import deploy

        deploy(package, Path(models))


def promote(promotion: Path, summary: Path) -> str:
    """Make the judged version the champion; returns what was done, in one line.

    Raises:
        UserError: the verdict is not to promote.
        RetryableError: the champion is no longer the one that the verdict is about.
    """
    from components.shared.students import Students
    from components.shared.tracker import tracker
    from rats_train.evaluation.verdict import Verdict

    if not Verdict.read(promotion / "verdict.json").promoted:
        raise UserError(f"The verdict in {promotion} is not to promote.")
    judged = read_json(promotion / "judged.json")
    with tracker() as client:
        students = Students(client, judged["model"].removeprefix("rats-"))
        version = students.version(judged["version"])
        line = _promote(students, version, judged["opponent"])
    publish_summary(f"# {line}", summary, students.page(version))
    return line


def _promote(students: "Students", version: "ModelVersion", opponent: int | None) -> str:
    from components.shared.students import CHAMPION

    champion = students.aliased(CHAMPION)
    if champion is not None and students.same_student(version, champion):
        return f"{students.model} version {champion.version} is the champion already"
    if (champion and int(champion.version)) != opponent:
        raise RetryableError(
            f"While this student was tried, the champion of {students.model} changed: the verdict is about version "
            f"{opponent or 'none'}, and now it is {champion.version if champion else 'none'}. Run again."
        )
    students.promote(version)
    after = f"after version {champion.version}" if champion else "the first"
    return f"{students.model} version {version.version} is champion, {after}"
