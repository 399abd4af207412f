"""The shards of a store: how they are dealt out to tasks that draw side by side, and the note that calls one finished.

A shard is a file whose note, ``shard-00003.json`` beside ``shard-00003.safetensors``, is written after it and holds its
digest. So whoever draws it needs to know of nobody else: a shard without a note, or with other bytes than its note
says, is drawn again, and two who draw the same one at once write the same bytes.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.files import read_json, write_json
from rats_train.trajectories.files import FileEntry

_SPAN = re.compile(r"(\d+)-(\d+)")


def shard_rows(count: int, size: int) -> list[range]:
    """The rows of each shard."""
    return list(chunks(range(count), size))


def chunks(rows: range, size: int) -> Iterator[range]:
    """The rows in runs of at most ``size``."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def deal_shards(recipe: Recipe, tasks: int) -> list[str]:
    """Every shard of the recipe's store, in at most ``tasks`` spans of nearly equal length: ``["0-3", "4-7"]``.

    Raises:
        UserError: ``tasks`` is below 1.
    """
    if tasks < 1:
        raise UserError(f"{tasks} tasks cannot draw trajectories: name 1 or more.")
    count = len(shard_rows(recipe.trajectories.count, recipe.trajectories.shard_size))
    ends = [count * task // min(tasks, count) for task in range(min(tasks, count) + 1)]
    return [f"{first}-{end - 1}" for first, end in pairwise(ends)]


def read_span(span: str) -> range:
    """The shards of a span such as ``4-7``, its ends included.

    Raises:
        UserError: it is none.
    """
    found = _SPAN.fullmatch(span)
    if found is None:
        raise UserError(f"{span!r} names no shards: write the first and the last, such as 4-7.")
    return range(int(found[1]), int(found[2]) + 1)


def shard_file(shard: int) -> str:
    """Name of a shard's file."""
    return f"shard-{shard:05d}.safetensors"


def note_file(shard: int) -> str:
    """Name of the note beside it."""
    return f"shard-{shard:05d}.json"


def write_note(store: Path, shard: int, entry: FileEntry) -> None:
    """Call a shard finished."""
    write_json(store / note_file(shard), asdict(entry))


def read_note(store: Path, shard: int) -> FileEntry | None:
    """What was noted of a shard; None where it is not finished.

    Raises:
        UserError: the note is damaged.
    """
    path = store / note_file(shard)
    if not path.is_file():
        return None
    try:
        return FileEntry(**read_json(path))
    except TypeError as error:
        raise UserError(f"{path} is damaged ({error}): delete it, and the shard is drawn again.") from error
