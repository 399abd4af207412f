"""Make one store of the shards that one task or many drew."""

import io
from collections.abc import Mapping, Sequence
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
from rats_train.trajectories.shards import finished, read_note, scores_file, shard_file, shard_rows


def join(recipe: Recipe, parts: Sequence[str | Path], out: str | Path) -> Path:
    """Make ``out`` the finished store of the shards that lie in ``parts``, in whatever order; files are linked.

    Raises:
        UserError: the parts are not of one recipe, or a shard is in none of them.
    """
    out, folders = Path(out), [Path(part) for part in parts]
    plan = _common_plan(folders)
    entries, rewards = [], []
    for shard in range(len(shard_rows(plan.count, plan.shard_size))):
        folder, entry = _find(shard, plan, folders)
        if folder != out:
            link_or_copy(folder / entry.file, out / entry.file)
        entries.append(entry)
        rewards.append(read_rewards(folder, plan.rewards, [shard]))
    manifest = replace(plan, shards=tuple(entries))
    columns = {name: _concatenate([part[name] for part in rewards]) for name in plan.rewards}
    index = _write_index(manifest, PromptSource(recipe), columns, out)
    replace(manifest, index=index, complete=True).write(out)
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


def _find(shard: int, plan: Manifest, folders: list[Path]) -> tuple[Path, FileEntry]:
    """Where a shard lies with its scores."""
    for folder in folders:
        entry = read_note(folder, shard_file(shard))
        if entry is not None and read_note(folder, scores_file(shard, plan.rewards)) is not None:
            return folder, entry
    raise UserError(f"Shard {shard} is in none of {', '.join(map(str, folders))}: run generate_trajectories again.")


def _write_index(
    manifest: Manifest, source: PromptSource, rewards: Mapping[str, NDArray[np.float32]], out: Path
) -> FileEntry:
    """One line a row, for readers and people: its shard, prompt, seed and rewards."""
    batch = source.batch(range(manifest.count))
    columns = {
        "row": list(batch.rows),
        "shard": [entry.file for entry in manifest.shards for _ in range(entry.rows)],
        "prompt": list(batch.prompts),
        "seed": list(batch.seeds),
    }
    columns |= {reward_column(name): values for name, values in rewards.items()}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    atomic_write_bytes(out / INDEX, buffer.getvalue())
    return FileEntry(INDEX, sha256_file(out / INDEX), manifest.count)


def reward_column(name: str) -> str:
    """The column of the index that holds the teacher's scores by a reward."""
    return f"reward_{name}"


def read_rewards(folder: Path, rewards: Mapping[str, str], shards: Sequence[int]) -> dict[str, NDArray[np.float32]]:
    """The teacher's raw scores[rows] in some shards, by the names of ``rewards``, which come with their digests.

    Raises:
        UserError: a byte of them has changed.
    """
    files = [scores_file(shard, rewards) for shard in shards]
    for file in files:
        if not finished(folder, file):
            raise UserError(
                f"{folder / file} is corrupt: its bytes are not those that were written; run generate_trajectories "
                "again, it replaces what is damaged."
            )
    parts = [safe_open(folder / file, "np") for file in files]
    return {name: _concatenate([part.get_tensor(name) for part in parts]) for name in rewards}


def _concatenate(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The parts after one another; nothing of no parts, as a store without rollouts has."""
    return np.concatenate([np.empty(0, np.float32), *parts])
