"""Where the champion's package lies, which is what `rats serve` serves."""

from pathlib import Path

from components.shared.workspace import use_workspace
from pipelines.runs import find_package, find_result
from rats_train.errors import UserError
from rats_train.files import read_json


def champion_package(workspace: Path) -> Path:
    """The package of the champion of the recipe that was packaged last in this workspace.

    Not the newest package: after `rats rollback` that is of the student taken back.

    Raises:
        UserError: no run made a package, the recipe has no champion, or its package is elsewhere.
        RetryableError: the tracker did not answer.
    """
    newest = find_result(workspace, "package")
    recipe = read_json(newest.parent / "run.json")["recipe"]
    use_workspace(workspace)
    from components.shared.students import CHAMPION, Students
    from components.shared.tracker import tracker
    from components.shared.tracker_address import tracker_place

    with tracker() as client:
        students = Students(client, recipe)
        champion = students.aliased(CHAMPION)
        keys = students.keys(champion) if champion else set()
    if champion is None:
        raise UserError(
            f"{students.model} has no champion in MLflow at {tracker_place()}: `rats promote {recipe}` judges the "
            f"challenger, and `rats serve --repo {newest}` serves the newest package all the same."
        )
    package = find_package(workspace, keys)
    if package is None:
        raise UserError(
            f"The champion, {students.model} version {champion.version}, has no package in {workspace}: run its recipe "
            "again to make it, or name with --repo the repository that holds it."
        )
    return package
