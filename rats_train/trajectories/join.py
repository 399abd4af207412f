"""Make one store of the shards that one task or many drew."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import safe_open

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.files import atomic_write_bytes, link_or_copy, sha256_file
from rats_train.trajectories.files import FileEntry
from rats_train.trajectories.manifest import INDEX, Manifest, read_manifest
from rats_train.trajectories.prompts import PromptSource
from rats_train.trajectories.shards import read_note, shard_rows


def join(recipe: Recipe, parts: Sequence[str | Path], out: str | Path) -> Path:
    """Make ``out`` the finished store of the shards that lie in ``parts``, in whatever order; files are linked.

    Raises:
        UserError: the parts are not of one recipe, or a shard is in none of them.
    """
    out, folders = Path(out), [Path(part) for part in parts]
    plan = _common_plan(folders)
    entries = []
    for shard in range(len(shard_rows(plan.count, plan.shard_size))):
        folder, entry = _find(shard, folders)
        if folder != out:
            link_or_copy(folder / entry.file, out / entry.file)
        entries.append(entry)
    manifest = replace(plan, shards=tuple(entries))
    replace(manifest, index=_write_index(manifest, PromptSource(recipe), out), complete=True).write(out)
    return out


def _common_plan(folders: list[Path]) -> Manifest:
    """What all of the parts are parts of."""
    found = {folder: read_manifest(folder) for folder in folders}
    plans = {manifest.key: manifest for manifest in found.values() if manifest is not None}
    if None in found.values() or len(plans) != 1:
        names = ", ".join(map(str, folders))
        raise UserError(f"{names} are not shards of one recipe's trajectories: run generate_trajectories for all.")
    (plan,) = plans.values()
    return replace(plan, shards=(), index=None, complete=False)


def _find(shard: int, folders: list[Path]) -> tuple[Path, FileEntry]:
    for folder in folders:
        if (entry := read_note(folder, shard)) is not None:
            return folder, entry
    raise UserError(f"Shard {shard} is in none of {', '.join(map(str, folders))}: run generate_trajectories again.")


def _write_index(manifest: Manifest, source: PromptSource, out: Path) -> FileEntry:
    """One line a row, for readers and people: its shard, prompt, seed and rewards."""
    rewards = read_rewards(out, manifest.shards)
    batch = source.batch(range(manifest.count))
    columns = {
        "row": list(batch.rows),
        "shard": [entry.file for entry in manifest.shards for _ in range(entry.rows)],
        "prompt": list(batch.prompts),
        "seed": list(batch.seeds),
    }
    columns |= {f"reward_{name}": rewards[:, column] for column, name in enumerate(manifest.rewards)}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    atomic_write_bytes(out / INDEX, buffer.getvalue())
    return FileEntry(INDEX, sha256_file(out / INDEX), manifest.count)


def read_rewards(store: Path, shards: Sequence[FileEntry]) -> NDArray[np.float32]:
    """The teacher's raw scores[rows, rewards] in some shards."""
    return np.concatenate([safe_open(store / entry.file, "np").get_tensor("rewards") for entry in shards])
