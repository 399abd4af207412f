"""A run on this machine, as its folder tells: ``<workspace>/<id>/run.json`` and one record a step."""

import json
import os
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from components.shared.process import lives
from rats_train.errors import UserError
from rats_train.files import read_json, write_json

STEPS = (
    "prepare",
    "generate_trajectories",
    "train_student",
    "evaluate_rewards",
    "promotion_gate",
    "package_student",
    "smoke_test",
    "promote_student",
    "report",
    "report_end",
)
# What a step leaves that a person looks for: name in run.json -> step, name in its folder, name in the run's folder.
RESULTS = {
    "scorecard": ("evaluate_rewards", "evaluation/scorecard.json", "scorecard.json"),
    "report": ("report", "report.html", "report.html"),
    "student": ("train_student", "student", "student"),
    "package": ("package_student", "package", "package"),
}


def create_run(workspace: Path, name: str, values: dict[str, Any]) -> Path:
    """Make the folder of a new run, named after its recipe and the time, and point ``latest`` at it."""
    began = datetime.now().astimezone()
    stem = f"{name}-{began:%Y%m%d-%H%M%S}"
    workspace.mkdir(parents=True, exist_ok=True)
    run = next(path for path in _candidates(workspace / stem) if _made(path))
    write_json(
        run / "run.json",
        {
            **values,
            "id": run.name,
            "status": "running",
            "pid": os.getpid(),
            "began": began.isoformat(timespec="seconds"),
        },
    )
    point_latest(workspace, run)
    return run


def point_latest(workspace: Path, run: Path) -> None:
    """Make ``<workspace>/latest`` name ``run``, without a moment in which it names nothing."""
    draft = workspace / f".latest.{os.getpid()}"
    draft.unlink(missing_ok=True)
    draft.symlink_to(run.name)
    draft.replace(workspace / "latest")


def find_run(workspace: Path, run_id: str = "latest") -> Path:
    """Folder of a run.

    Raises:
        UserError: there is no such run.
    """
    run = workspace / run_id
    if not (run / "run.json").is_file():
        raise UserError(f"No run {run_id} in {workspace}: start one with `rats run`.")
    return run.resolve()


def find_result(workspace: Path, result: str) -> Path:
    """The newest ``student``, ``package``, ... that a run of this workspace made.

    Raises:
        UserError: none did.
    """
    made = _results(workspace, result)
    if made:
        return made[-1]
    students = _results(workspace, "student")
    if result == "package" and students:
        raise UserError(
            f"No student in {workspace} was promoted, so none is packaged: the report says why. To serve one all the "
            f"same: {serve_anyway(students[-1])}."
        )
    raise UserError(f"No {result} in {workspace}: make one with `rats run`.")


def serve_anyway(student: Path) -> str:
    """The commands that serve a student which was not promoted."""
    return f"`rats package {student} --out models`, then `rats serve --repo models`"


def find_package(workspace: Path, student_keys: Collection[str]) -> Path | None:
    """The newest package of the student whose evaluations have these content keys, if a run here made one."""
    records = (
        (package, package.parent / "steps" / "evaluate_rewards.json") for package in _results(workspace, "package")
    )
    made = [package for package, record in records if record.is_file() and read_json(record)["key"] in student_keys]
    return made[-1] if made else None


def _results(workspace: Path, result: str) -> list[Path]:
    """What the runs of a workspace made of one kind, the newest last."""
    made = [path for path in workspace.glob(f"*/{RESULTS[result][2]}") if path.parent.name != "latest"]
    return sorted(made, key=lambda path: path.parent.stat().st_mtime)


def read_run(run: Path) -> dict[str, Any]:
    """run.json with the steps as they are now; a run whose process is gone reads as interrupted."""
    values: dict[str, Any] = read_json(run / "run.json")
    if values["status"] == "running" and not lives(values["pid"]):
        values["status"] = "interrupted"
    return {**values, "steps": read_steps(run, values["status"])}


def read_steps(run: Path, status: str) -> list[dict[str, Any]]:
    """Every step in order, with what its record says; one without a record is waiting, or skipped once all is over."""
    records = {path.stem: read_json(path) for path in (run / "steps").glob("*.json")}
    unbegun = "waiting" if status == "running" else "skipped"
    steps = [records.get(name, {"name": name, "status": unbegun, "seconds": 0.0, "cached": False}) for name in STEPS]
    for step in steps:
        if step["status"] == "running" and status != "running":
            step["status"] = "failed" if status == "failed" else status
    return steps


def step_folder(run: Path, step: str) -> Path:
    """Where a finished step of a run keeps its results."""
    return Path(read_json(run / "steps" / f"{step}.json")["folder"])


def read_progress(step: dict[str, Any]) -> dict[str, Any]:
    """How far a running step says it is: ``{step, steps, eta_seconds, ...}``, empty where it has said nothing."""
    try:
        progress: dict[str, Any] = json.loads((Path(step["folder"]) / "progress.json").read_text())
    except (KeyError, FileNotFoundError):
        return {}
    return progress


def _candidates(path: Path):  # noqa: ANN202
    yield path
    count = 2
    while True:
        yield path.with_name(f"{path.name}-{count}")
        count += 1


def _made(path: Path) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True
