"""Results with what they were made of: rows of all runs in one file, which each run replaces its own rows of."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rats_train.files import read_json, write_json
from rats_train.provenance import describe_machine, package_versions, source_commit

FOLDER: Final = Path(__file__).parents[1] / "results"
FILE: Final = FOLDER / "serving.json"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One server under one load.

    Attributes:
        server: its name.
        concurrency: callers that each ask again once they have their answer; None: requests come at a steady pace.
        mix: step counts that they ask for in turn.
        batching: what is drawn together.
        throughput_rps: pictures a second.
        p50_ms: of the time from a request to its picture, like p99_ms.
        p99_ms: 99 of 100 took no longer.
        errors: requests that brought neither a picture nor a refusal.
        note: what it was drawn on, and what to know.
    """

    server: str
    concurrency: int | None
    mix: str
    batching: str
    throughput_rps: float
    p50_ms: float
    p99_ms: float
    errors: int
    note: str


def write_rows(run: str, rows: Sequence[Row]) -> None:
    """Let `rows` be those of `run` in ``benchmarks/results/serving.json``; the rows of other runs stay."""
    before = read_json(FILE) if FILE.is_file() else {"runs": {}, "rows": []}
    others = [row for row in before["rows"] if row["run"] != run]
    made = [{"run": run, **asdict(row)} for row in rows]
    write_json(FILE, {"runs": before["runs"] | {run: provenance()}, "rows": [*others, *made]})


def provenance() -> dict[str, Any]:
    """Commit, time, machine and versions."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    machine = describe_machine().model_dump()
    return {"commit": source_commit(), "created": made, "machine": machine, "versions": package_versions()}
