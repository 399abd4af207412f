"""Is this machine ready? Every finding comes with its cure."""

import os
import platform
import shutil
import socket
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from components.shared.code import ROOT
from pipelines.doctor.findings import Finding
from rats_train.embedded import reward_dir, teacher_dir
from rats_train.errors import UserError
from rats_train.files import read_json, sha256_tree

PYTHON = (3, 11)
GLIBC = (2, 35)
NEEDED_DISK = 5 * 2**30
NEEDED_MEMORY = 4 * 2**30
NEEDED_SHARED_MEMORY = 64 * 2**20
PORT = 8080
# In the folder of the checkpoints: {"teacher": sha256_tree, "reward_a": ..., "reward_b": ...}.
DIGESTS = "digests.json"
EXTRAS = ("cluster", "serve", "local")


def examine(workspace: Path) -> list[Finding]:
    """Look at everything that a run on this machine needs."""
    checks: list[Callable[[], Finding]] = [
        _python,
        _packages,
        _libpython,
        _glibc,
        _triton,
        lambda: _port(PORT),
        lambda: _room("disk", _disk(workspace), NEEDED_DISK, "free some space, or name another place with --workspace"),
        lambda: _room("memory", psutil.virtual_memory().available, NEEDED_MEMORY, "end other programs"),
        lambda: _room(
            "shared memory", shutil.disk_usage("/dev/shm").free, NEEDED_SHARED_MEMORY,
            "in a container: start it with --shm-size=1g",
        ),
        _checkpoints,
    ]  # fmt: skip
    return [check() for check in checks]


def _python() -> Finding:
    seen = platform.python_version()
    if sys.version_info[:2] == PYTHON:
        return Finding("python", seen)
    wanted = ".".join(map(str, PYTHON))
    return Finding("python", seen, f"use Python {wanted}: `python{wanted} -m venv .venv`, then install again")


def _packages() -> Finding:
    wrong = list(_unmet(declared_requirements()))
    if not wrong:
        return Finding("packages", "all as declared")
    return Finding("packages", "; ".join(wrong), "`pip install -e '.[local]'` in the folder of the repository")


def declared_requirements() -> list[Requirement]:
    """What our own package declares for a run on one machine, from its sources or, installed, its metadata."""
    if (ROOT / "pyproject.toml").is_file():
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        return [Requirement(line) for lines in (project["dependencies"], *map(extras.get, EXTRAS)) for line in lines]
    environments = [{"extra": extra} for extra in ("", *EXTRAS)]
    found = (Requirement(line) for line in requires("rats-train") or [])
    return [need for need in found if need.marker is None or any(need.marker.evaluate(e) for e in environments)]


def _unmet(needs: list[Requirement]) -> Iterator[str]:
    for need in needs:
        try:
            if need.name != "rats-train" and version(need.name) not in need.specifier:
                yield f"{need.name} {version(need.name)} is not {need.specifier}"
        except PackageNotFoundError:
            yield f"{need.name} is missing"


def _libpython() -> Finding:
    from serving.triton.installation import libpython_folder

    return _ask("libpython", lambda: str(libpython_folder()), "use a Python built with --enable-shared")


def _triton() -> Finding:
    from serving.triton.installation import triton_home

    return _ask("triton server", lambda: str(triton_home()), "`pip install -e '.[local]'`")


def _glibc() -> Finding:
    name, seen = platform.libc_ver()
    if name == "glibc" and tuple(map(int, seen.split("."))) >= GLIBC:
        return Finding("glibc", seen)
    wanted = ".".join(map(str, GLIBC))
    cure = f"the Triton server needs glibc {wanted}: Debian 12, Ubuntu 22.04 or newer"
    return Finding("glibc", f"{name} {seen}".strip(), cure)


def _port(port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            cure = f"serve elsewhere: `rats serve --port {port + 1}`"
            return Finding(f"port {port}", os.strerror(error.errno or 0), cure)
    return Finding(f"port {port}", "free")


def _disk(workspace: Path) -> int:
    there = next(path for path in (workspace.resolve(), *workspace.resolve().parents) if path.exists())
    return shutil.disk_usage(there).free


def _room(name: str, free: int, needed: int, cure: str) -> Finding:
    seen = f"{free / 2**30:.1f} GiB free"
    return Finding(name, seen) if free >= needed else Finding(name, f"{seen}, {needed / 2**30:.1f} needed", cure)


def _checkpoints() -> Finding:
    """The three models that ship inside the package, against the digests that were committed with them."""
    name = "embedded checkpoints"
    try:
        folders = {"teacher": teacher_dir(), "reward_a": reward_dir("a"), "reward_b": reward_dir("b")}
    except UserError as error:
        return Finding(name, str(error), "in a clone: `git checkout -- rats_train/world/checkpoints`")
    wanted = read_json(folders["teacher"].parent / DIGESTS)
    wrong = [model for model, folder in folders.items() if sha256_tree(folder) != wanted[model]]
    if wrong:
        seen = f"{', '.join(wrong)} not as committed"
        return Finding(name, seen, "`git checkout -- rats_train/world/checkpoints`, unless you built them anew")
    return Finding(name, "as committed")


def _ask(name: str, look: Callable[[], str], cure: str) -> Finding:
    try:
        return Finding(name, look())
    except UserError as error:
        return Finding(name, str(error), cure)
