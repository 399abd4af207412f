"""`rats promote` and `rats rollback`: who is champion, decided again by the gate or taken back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.shared.workspace import use_workspace
from pipelines.runs import find_package

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from components.shared.students import Students
    from rats_train.evaluation.verdict import Verdict

STYLES = {"met": "green", "failed": "red", "open": "yellow"}

console = Console()

NameArgument = Annotated[str, typer.Argument(help="Name of the recipe whose students are meant.")]
Workspace = Annotated[Path, typer.Option(help="Folder of runs and cached work.")]
RUNS = Path("runs")


def promote(
    recipe: NameArgument = "emoji",
    version: Annotated[int | None, typer.Option(help="Version in MLflow; the challenger if not given.")] = None,
    workspace: Workspace = RUNS,
) -> None:
    """Judge a student against the champion by what both scored, and make it champion if it earned that."""
    use_workspace(workspace)
    from components.shared.students import CHAMPION, Students
    from components.shared.tracker import tracker

    with tracker() as client:
        students = Students(client, recipe)
        candidate, champion = _candidate(students, version), students.aliased(CHAMPION)
        if champion is not None and students.same_student(candidate, champion):
            console.print(f"Version {champion.version} of {students.model} is the champion already.")
            return
        verdict = _judge(students, candidate)
        console.print(reasons_table(verdict))
        students.judged(candidate, verdict.decision)
        if not verdict.promoted:
            console.print(f"\n{students.model} version {candidate.version}: [bold]{verdict.decision}[/bold].")
            for note in verdict.notes:
                console.print(note)
            raise typer.Exit(1)
        students.promote(candidate)
        was = f"; version {champion.version} was" if champion else ", the first"
        console.print(f"\nVersion {candidate.version} of {students.model} is champion{was}.")
        _tell_how_to_serve(students, candidate, workspace)


def rollback(recipe: NameArgument = "emoji", workspace: Workspace = RUNS) -> None:
    """Make the champion before this one champion again; a run will not promote the one taken back."""
    use_workspace(workspace)
    from components.shared.students import Students
    from components.shared.tracker import tracker

    with tracker() as client:
        students = Students(client, recipe)
        former, champion = students.roll_back()
        console.print(
            f"Version {champion.version} of {students.model} is champion again; version {former.version} was."
        )
        console.print(
            f"No run promotes version {former.version} any more; `rats promote {recipe} --version {former.version}` "
            "judges it anew."
        )
        _tell_how_to_serve(students, champion, workspace)


def reasons_table(verdict: "Verdict") -> Table:
    """Every condition with its state, those that are not met first."""
    table = Table("", "rule", "condition", box=None)
    met = [reason for reason in verdict.reasons if reason.state == "met"]
    for reason in (*verdict.failures, *met):
        table.add_row(Text(reason.state, STYLES[reason.state]), reason.rule, Text(reason.text))
    return table


def _candidate(students: "Students", number: int | None) -> "ModelVersion":
    from components.shared.students import CHALLENGER
    from components.shared.tracker_address import tracker_place
    from rats_train.errors import UserError

    if number is not None:
        return students.version(number)
    found = students.aliased(CHALLENGER)
    if found is None:
        raise UserError(
            f"{students.model} has no challenger in MLflow at {tracker_place()}: `rats run` makes one, or name a "
            "--version."
        )
    return found


def _judge(students: "Students", candidate: "ModelVersion") -> "Verdict":
    from tempfile import TemporaryDirectory

    from components.promotion_gate.judgement import judge_version, stored_scores

    with TemporaryDirectory() as scratch:
        challenger = stored_scores(students, candidate, Path(scratch) / "challenger")
        return judge_version(
            students,
            candidate,
            challenger,
            lambda champion: stored_scores(students, champion, Path(scratch) / "champion"),
        )


def _tell_how_to_serve(students: "Students", version: "ModelVersion", workspace: Path) -> None:
    package = find_package(workspace, students.keys(version))
    if package is not None:
        console.print(f"`rats serve --repo {package}` serves it.")
