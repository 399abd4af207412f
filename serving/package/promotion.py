"""Which version of a student is served: promote another, go back to the one before.

The one place that says so is `config.pbtxt`, which Triton itself reads; a running `rats serve` watches it, loads the
version beside the old one, and changes over without losing a request. `promotions.jsonl` beside it remembers each
change.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rats_train.errors import UserError
from rats_train.files import atomic_write_text
from serving.package.contents import Package
from serving.package.repository import read_config, served_version, versions, write_config
from serving.package.verification import verify_version
from serving.protocol import ModelConfig

_HISTORY = "promotions.jsonl"


def promote(repo: Path, version: int, *, model: str = "student", public_key: Path | None = None) -> Package:
    """Let `version` of `model` be served from now on.

    Raises:
        UserError: there is no such version, or it is not what was signed; what was served stays.
    """
    model_dir = repo / model
    there = [path.name for path in versions(model_dir)]
    if str(version) not in there:
        known = f"versions {', '.join(there)}" if there else "no packaged student"
        raise UserError(f"{model_dir} has no version {version}: it holds {known}")
    package = verify_version(model_dir / str(version), public_key)
    before = served(model_dir)
    if before != version:
        _serve(package, before, "promoted")
    return package


def roll_back(repo: Path, *, model: str = "student", public_key: Path | None = None) -> Package:
    """Let the version be served that was before the last change; twice is back and forth.

    Raises:
        UserError: there was none, or it is not what was signed.
    """
    model_dir = repo / model
    changes = _history(model_dir)
    before = changes[-1]["from"] if changes else None
    if before is None:
        raise UserError(f"{model_dir} has served no other version: there is nothing to go back to")
    package = verify_version(model_dir / str(before), public_key)
    _serve(package, served(model_dir), "rolled back")
    return package


def withdraw(serving: Package, refused: int, reason: str) -> None:
    """Undo the promotion of a version that a server `refused`, so that the next start does not meet it again."""
    _serve(serving, refused, f"refused: {reason}")


def served(model_dir: Path) -> int | None:
    """Number of the version to serve, None if there is none that could be."""
    try:
        return int(served_version(model_dir).name)
    except UserError:
        return None


def _serve(package: Package, before: int | None, why: str) -> None:
    model_dir = package.path.parent
    try:
        config = replace(read_config(model_dir, package.is_video), version=package.version)
    except UserError:
        config = ModelConfig(package.model, package.is_video, package.version)
    change = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "from": before, "to": package.version, "why": why}
    lines = [json.dumps(each) for each in [*_history(model_dir), change]]
    atomic_write_text(model_dir / _HISTORY, "\n".join(lines) + "\n")
    write_config(model_dir, config)


def _history(model_dir: Path) -> list[dict[str, Any]]:
    path = model_dir / _HISTORY
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
