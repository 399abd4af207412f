"""The shards of a store: how they are dealt out to tasks that draw side by side, and the note that calls one finished.

A shard is a file whose note, ``shard-00003.json`` beside ``shard-00003.safetensors``, is written after it and holds its
digest. So whoever draws it needs to know of nobody else: a shard without a note, or with other bytes than its note
says, is drawn again, and two who draw the same one at once write the same bytes.

What rewards say of a shard lies beside it, in a file of its own for each set of rewards and with a note of its own, so
that another set scores what was drawn and draws nothing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.files import read_json, sha256_json, write_json
from rats_train.trajectories.files import FileEntry

NO_SHARDS = "none"
"""The span of a store that holds nothing."""
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

    A recipe without stored rollouts gets one span, `NO_SHARDS`: a task that draws nothing costs less than a pipeline
    of another shape.

    Raises:
        UserError: ``tasks`` is below 1.
    """
    if tasks < 1:
        raise UserError(f"{tasks} tasks cannot draw trajectories: name 1 or more.")
    count = len(shard_rows(recipe.stored_rollouts, recipe.trajectories.shard_size))
    if not count:
        return [NO_SHARDS]
    ends = [count * task // min(tasks, count) for task in range(min(tasks, count) + 1)]
    return [f"{first}-{end - 1}" for first, end in pairwise(ends)]


def read_span(span: str) -> range:
    """The shards of a span such as ``4-7``, its ends included; of `NO_SHARDS`, none.

    Raises:
        UserError: it is no span.
    """
    if span == NO_SHARDS:
        return range(0)
    found = _SPAN.fullmatch(span)
    if found is None:
        raise UserError(f"{span!r} names no shards: write the first and the last, such as 4-7.")
    return range(int(found[1]), int(found[2]) + 1)


def shard_file(shard: int) -> str:
    """Name of a shard's file."""
    return f"shard-{shard:05d}.safetensors"


def scores_file(shard: int, rewards: Mapping[str, str]) -> str:
    """Name of the file of what ``rewards``, digests by name, say of a shard."""
    return f"scores-{sha256_json(rewards)[:12]}-{shard:05d}.safetensors"


def note_file(file: str) -> str:
    """Name of the note beside a file."""
    return Path(file).with_suffix(".json").name


def write_note(store: Path, entry: FileEntry) -> None:
    """Call a file finished."""
    write_json(store / note_file(entry.file), asdict(entry))


def read_note(store: Path, file: str) -> FileEntry | None:
    """What was noted of a file; None where it is not finished.

    Raises:
        UserError: the note is damaged.
    """
    path = store / note_file(file)
    if not path.is_file():
        return None
    try:
        return FileEntry(**read_json(path))
    except TypeError as error:
        raise UserError(f"{path} is damaged ({error}): delete it, and what it tells of is made again.") from error


def finished(store: Path, file: str) -> bool:
    """Whether a file is there as it was noted.

    Raises:
        UserError: the note is damaged.
    """
    entry = read_note(store, file)
    return entry is not None and entry.intact(store)
