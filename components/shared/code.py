"""Digest of the code that a step runs: its own folder and everything of ours that it can reach by imports.

Found by reading the sources, so no list of modules can go stale, and nothing heavy is imported to find it. Code is
reached by the unit: a folder of the house (``rats_train/sampling``, ``serving``, ``components/report``) with all that
lies in it, or a single module (``rats_train/config.py``).
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# How many parts of a dotted name make a unit of each package.
UNIT_DEPTH = {"rats_train": 2, "components": 2, "serving": 1}
# Checkpoints lie beside the code, and enter a key as data digests; the rest changes nothing that a step does.
APART = {"checkpoints", "tests", "__pycache__", "README.md", "metadata.yaml"}
LIBRARIES = ("torch", "diffusers", "transformers", "deepspeed", "numpy", "safetensors")


def code_digest(module: str, root: Path = ROOT) -> str:
    """Hex SHA-256 over the files of every unit reachable from ``module``, and the versions of the libraries below.

    A string that spells the name of one of our modules counts as an import, because programs are started by such
    strings (``python -m rats_train.engine.worker``).
    """
    total = hashlib.sha256()
    for file in sorted(file for unit in _reachable(module, root) for file in _files(unit)):
        total.update(f"{file.relative_to(root)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    for library in LIBRARIES:
        total.update(f"{library}=={_version(library)}\n".encode())
    return total.hexdigest()


def _reachable(module: str, root: Path) -> set[Path]:
    """Units that importing ``module`` can lead to, itself included."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        unit = _unit(waiting.pop(), root)
        if unit is not None and unit not in found:
            found.add(unit)
            for source in _files(unit):
                if source.suffix == ".py":
                    waiting.extend(_mentioned(source.read_text()))
    return found


def _unit(name: str, root: Path) -> Path | None:
    """The folder or file of the unit that the dotted ``name`` lies in, if it is ours and there."""
    parts = name.split(".")
    depth = UNIT_DEPTH.get(parts[0])
    if depth is None or len(parts) < depth or not all(part.isidentifier() for part in parts):
        return None
    path = root.joinpath(*parts[:depth])
    return next((unit for unit in (path, path.with_suffix(".py")) if unit.exists()), None)


def _files(unit: Path) -> Iterator[Path]:
    if unit.is_file():
        yield unit
    else:
        for file in unit.rglob("*"):
            if file.is_file() and APART.isdisjoint(file.relative_to(unit).parts):
                yield file


@cache
def _mentioned(source: str) -> frozenset[str]:
    """Names in a source's text that may be modules: what it imports, from where, and every string.

    Remembered by the text, because the steps of a pipeline reach much the same files.
    """
    return frozenset(name for node in ast.walk(ast.parse(source)) for name in _names(node))


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"
