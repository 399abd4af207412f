"""Checkpoints that are whole or do not count: a pointer of our own over the files of DeepSpeed.

DeepSpeed writes its (pickle) files in place and marks the newest with a plain write. Here a checkpoint is written
under a name that says it is unfinished, renamed, and only then named, with the digest of every byte, in
``latest.json``, which is replaced atomically. Files that the pointer does not vouch for are never opened.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError

from rats_train.engine.ranks import Ranks
from rats_train.engine.roles import Roles
from rats_train.errors import UserError
from rats_train.files import read_json, sha256_tree, write_json

POINTER = "latest.json"
_KEPT = 2
_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Entry:
    """A finished checkpoint: its folder's name, the steps that it has behind it, the digest of its bytes."""

    name: str
    step: int
    sha256: str


class Checkpoints:
    """The checkpoints of one run. All ranks call; the first looks after the pointer.

    Args:
        folder: where they lie.
        key: what the run is; checkpoints of another are refused.
        ranks: the ranks of this run, as many as there were when it began.
    """

    def __init__(self, folder: Path, key: str, ranks: Ranks) -> None:
        self._folder, self._key, self._ranks = folder, key, ranks
        self._newest = 0

    def restore(self, roles: Roles) -> int:
        """Load the newest whole checkpoint and return its step; 0 where there is none.

        Raises:
            UserError: they are of another recipe or another number of ranks, or none of them is whole.
        """
        entry = self._ranks.from_first(self._newest_whole)
        if entry is None:
            return 0
        roles.load(self._folder / entry.name)
        self._newest = entry.step
        return entry.step

    def keep(self, step: int, roles: Roles) -> None:
        """`save`, unless the newest checkpoint has these steps, or there are none."""
        if step != self._newest:
            self.save(step, roles)

    def save(self, step: int, roles: Roles) -> None:
        """Write a checkpoint, then let the pointer name it and the one before, then delete older ones.

        Raises:
            UserError: the disk is full; the pointer still names the last whole checkpoint.
        """
        name = f"step-{step:06d}"
        scratch = self._folder / (name + _UNFINISHED)
        self._ranks.from_first(lambda: self._prepare(scratch, roles.bytes_to_save()))
        self._ranks.together(lambda: self._write(scratch, roles))
        self._ranks.from_first(lambda: self._publish(scratch, name, step))
        self._newest = step

    @property
    def fallback(self) -> int:
        """The step that a run goes back to if the newest checkpoint turns out damaged; for the first rank."""
        entries = self._entries()
        return entries[0].step if len(entries) == _KEPT else 0

    def _newest_whole(self) -> Entry | None:
        entries = self._entries()
        for entry in reversed(entries):
            if (self._folder / entry.name).is_dir() and sha256_tree(self._folder / entry.name) == entry.sha256:
                return entry
        if entries:
            raise UserError(
                f"No checkpoint in {self._folder} is whole: files were changed or cut short after they were written. "
                "Restore them, or delete the folder to start over."
            )
        return None

    def _entries(self) -> list[Entry]:
        """The checkpoints that the pointer names, oldest first."""
        if not (self._folder / POINTER).is_file():
            return []
        pointer = read_json(self._folder / POINTER)
        if pointer["key"] != self._key:
            raise UserError(
                f"{self._folder} holds checkpoints of another recipe (key {pointer['key']}, this one is {self._key}): "
                "name another folder with --out, or delete this one."
            )
        if pointer["world_size"] != self._ranks.size:
            raise UserError(
                f"The checkpoints in {self._folder} were written by {pointer['world_size']} ranks, and there are now "
                f"{self._ranks.size}: go on with training.world_size={pointer['world_size']}, or use another folder."
            )
        return [Entry(**entry) for entry in pointer["checkpoints"]]

    def _prepare(self, scratch: Path, needed: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for unfinished in self._folder.glob(f"*{_UNFINISHED}"):
            shutil.rmtree(unfinished)
        if shutil.disk_usage(self._folder).free < needed:
            raise _disk_full(scratch, needed)
        scratch.mkdir()

    def _write(self, scratch: Path, roles: Roles) -> None:
        with full_disk_explained(scratch, roles.bytes_to_save()):
            roles.save(scratch)

    def _publish(self, scratch: Path, name: str, step: int) -> None:
        digest = sha256_tree(scratch)
        earlier = [entry for entry in self._entries() if entry.step < step]
        kept = [*earlier, Entry(name, step, digest)][-_KEPT:]
        if (self._folder / name).exists():
            shutil.rmtree(self._folder / name)
        scratch.rename(self._folder / name)
        pointer = {
            "key": self._key,
            "world_size": self._ranks.size,
            "checkpoints": [asdict(entry) for entry in kept],
        }
        write_json(self._folder / POINTER, pointer)
        for folder in self._folder.glob("step-*"):
            if folder.name not in {entry.name for entry in kept}:
                shutil.rmtree(folder)


@contextmanager
def full_disk_explained(path: Path, needed: int) -> Iterator[None]:
    """Turn a write that failed for want of space into one sentence; other failures pass.

    Raises:
        UserError: the disk is full.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch reports a full disk as an inner inconsistency of its zip writer, so the space left has to tell.
        if shutil.disk_usage(path.parent).free < needed:
            raise _disk_full(path, needed) from error
        raise


def _disk_full(path: Path, needed: int) -> UserError:
    free = shutil.disk_usage(path.parent).free
    return UserError(
        f"No space left to write {path} (about {needed:,} bytes, {free:,} free); the last checkpoint is kept: "
        "free some space and run again."
    )
