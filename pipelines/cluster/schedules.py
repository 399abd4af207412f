"""Schedules as code: a file of recurring runs, and a server that is brought to what the file says.

    schedules:
      - name: emoji-nightly
        cron: "0 30 2 * * *"
        pipeline: train_and_deploy
        parameters: {recipe: emoji}

A recurring run carries the digest of everything that it was made from in its description, so that a second apply
changes nothing. KFP's cache cannot make a scheduled run hollow: the step ``prepare``, which looks at code and data
anew, is compiled as never cached, and every other step has a content key among its inputs.
"""

import tempfile
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipelines.cluster.cron import check_cron
from pipelines.cluster.kfp_server import PipelinesServer
from pipelines.compiled import PIPELINES, compile_pipeline
from rats_train.errors import UserError
from rats_train.files import sha256_json

MARK = "rats-schedule"

Change = Literal["created", "replaced", "unchanged", "not in this file"]


class Schedule(BaseModel):
    """One recurring run: six-field ``cron``, name of a ``pipeline`` of ours, and its ``parameters``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    cron: str
    pipeline: str
    parameters: dict[str, Any] = {}
    enabled: bool = True

    @field_validator("pipeline")
    @classmethod
    def _is_ours(cls, value: str) -> str:
        if value not in PIPELINES:
            raise ValueError(f"there is no pipeline {value}; name one of {', '.join(PIPELINES)}")
        return value


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schedules: list[Schedule]


def read_schedules(file: Path) -> list[Schedule]:
    """The schedules of a file.

    Raises:
        UserError: it is missing, is not YAML, names an unknown key or pipeline, a name twice, or a cron of other form.
    """
    try:
        schedules = _File.model_validate(yaml.safe_load(file.read_text())).schedules
    except FileNotFoundError as error:
        raise UserError(f"No file {file}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"{file}: {where}: {first['msg']}") from error
    for schedule in schedules:
        check_cron(schedule.cron, f"{file}: the cron of {schedule.name}")
    names = [schedule.name for schedule in schedules]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{file} names the schedule {twice} twice: rename one.")
    return schedules


def apply_schedules(schedules: list[Schedule], server: PipelinesServer) -> dict[str, Change]:
    """Bring the server to what the schedules say; returns what became of each by name.

    What a schedule replaces goes after its successor has come: an apply that is cut short leaves one too many, which
    the next apply takes away, and never none. Schedules of ours that are not in the file stay, and are named.
    """
    there: dict[str, list[Any]] = {}
    for run in server.recurring_runs():
        if (run.description or "").startswith(MARK):
            there.setdefault(run.display_name, []).append(run)
    changes: dict[str, Change] = dict.fromkeys(there, "not in this file")
    with tempfile.TemporaryDirectory() as folder:
        for schedule in schedules:
            package = compile_pipeline(Path(folder) / f"{schedule.name}.yaml", schedule.pipeline)
            changes[schedule.name] = _apply(schedule, package, there.get(schedule.name, []), server)
    return changes


def _apply(schedule: Schedule, package: Path, there: list[Any], server: PipelinesServer) -> Change:
    description = f"{MARK} {_digest(schedule, package)}"
    status = "ENABLED" if schedule.enabled else "DISABLED"
    same = [run for run in there if (run.description, run.status) == (description, status)]
    if not same:
        server.create_recurring_run(
            schedule.name, description, schedule.cron, package, schedule.parameters, schedule.enabled
        )
    for run in there:
        if run not in same[:1]:
            server.delete_recurring_run(run.recurring_run_id)
    if same:
        return "unchanged"
    return "replaced" if there else "created"


def _digest(schedule: Schedule, package: Path) -> str:
    """Hex SHA-256 over the schedule and the compiled pipeline."""
    return sha256_json([schedule.model_dump(), package.read_text()])
