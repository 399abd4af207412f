"""Files that are whole or absent: atomic writes, and the digests that everything on disk is known by."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rats_train.errors import UserError


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` and rename it into place, so that a reader never sees half a file.

    Raises:
        UserError: the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with space_for(path, f"{len(data):,} bytes, "):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files private; what we write is for every reader that the folder lets in.
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise


@contextmanager
def space_for(path: Path, size: str = "") -> Iterator[None]:
    """Write what ``path`` is to hold; ``size`` ends in a comma, if it is known.

    Raises:
        UserError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC and os.strerror(errno.ENOSPC) not in str(error):  # a copied tree has no number
            raise
        free = f"{shutil.disk_usage(path.parent).free:,} free"
        raise UserError(f"No space left to write {path} ({size}{free}): free some space and run again.") from error


def atomic_write_text(path: str | Path, text: str) -> None:
    """`atomic_write_bytes` for UTF-8 text."""
    atomic_write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically: equal values give equal bytes."""
    atomic_write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError as error:
        raise UserError(f"No file {path}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not JSON ({error}): it was cut short or edited; write it again.") from error


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a value as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Make a file appear at ``target`` as well, in place of what was there: a hard link where the file system can."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_tree(directory: str | Path) -> str:
    """Hex SHA-256 over a folder's sorted relative file names and their contents; dates and modes do not matter."""
    directory = Path(directory)
    total = hashlib.sha256()
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        total.update(f"{file.relative_to(directory).as_posix()}\0{sha256_file(file)}\n".encode())
    return total.hexdigest()
