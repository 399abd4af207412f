"""Results with what they were made of."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rats_train.files import write_json
from rats_train.provenance import describe_machine, package_versions, source_commit

FOLDER = Path(__file__).parents[1] / "results"


def write_results(name: str, found: dict[str, Any]) -> None:
    """`found` as ``benchmarks/results/<name>.json``, with commit, time, machine and versions."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"commit": source_commit(), "created": made, "machine": describe_machine().model_dump()}
    write_json(FOLDER / f"{name}.json", facts | {"versions": package_versions()} | found)
