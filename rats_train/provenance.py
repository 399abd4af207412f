"""Where a number comes from: commit, recipe, versions and machine, so that a reader can go and check it."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

PACKAGES = ("rats-train", "torch", "diffusers", "transformers", "deepspeed", "numpy", "safetensors")


class Machine(BaseModel):
    """The machine that drew the pictures, without a name that could tell whose it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    processor: str
    cores: int
    memory_gib: float
    accelerator: str | None


class Provenance(BaseModel):
    """Everything needed to draw the same numbers again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str
    recipe: str
    recipe_digest: str
    versions: dict[str, str]
    machine: Machine
    created: str


def describe_provenance(recipe: str, recipe_digest: str) -> Provenance:
    """Provenance of a result that is made now, by this code, on this machine."""
    return Provenance(
        commit=source_commit(),
        recipe=recipe,
        recipe_digest=recipe_digest,
        versions=package_versions(),
        machine=describe_machine(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def source_commit(folder: Path | None = None) -> str:
    """Commit of the code in ``folder`` (default: of this package), ``+changes`` when the tree differs from it.

    Returns ``unknown`` for code that was installed without its repository.
    """
    folder = folder or Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what is drawn."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def describe_machine() -> Machine:
    """Processor, memory and accelerator of this machine."""
    import torch  # seconds to import, and the commit alone must be had at once

    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        accelerator=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
