"""Read a trajectory store: verified once, then memory-mapped row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from torch import Tensor

from rats_train.errors import UserError
from rats_train.trajectories.join import reward_column
from rats_train.trajectories.manifest import INDEX, Manifest, read_manifest
from rats_train.trajectories.order import epoch_order
from rats_train.trajectories.prompts import PromptBatch
from rats_train.trajectories.shards import read_note, shard_file, shard_rows


@dataclass(frozen=True)
class TrajectoryBatch(PromptBatch):
    """B rows with their teacher rollouts, in float32.

    ``x0[B, T, C, h, w]`` are the teacher's predictions at evaluations ``indices`` (T of them), ``final[B, C, h, w]``
    its results, ``rewards`` its raw scores[B] by reward name.
    """

    indices: tuple[int, ...]
    x0: Tensor
    final: Tensor
    rewards: dict[str, Tensor]

    def x0_at(self, indices: Sequence[int]) -> Tensor:
        """Predictions[B, H, C, h, w] at H evaluations of the teacher.

        Raises:
            UserError: the store does not hold one of them.
        """
        missing = sorted(set(indices) - set(self.indices))
        if missing:
            raise UserError(
                f"The trajectory store holds no teacher step {missing[0]}: it was made for other student.steps or "
                "student.terminal_sigma; generate it again."
            )
        return self.x0[:, [self.indices.index(index) for index in indices]]


class TrajectoryStore:
    """A finished store.

    Raises:
        UserError: it is missing, unfinished, or a byte of it has changed (the file is named).
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        self.manifest = _finished_manifest(path)
        for entry in self.manifest.files:
            if not entry.intact(path):
                raise UserError(
                    f"{path / entry.file} is corrupt: its bytes are not those that were written; "
                    "run generate_trajectories again, it replaces what is damaged."
                )
        index = pq.read_table(path / INDEX)
        self._prompts: list[str] = index["prompt"].to_pylist()
        self._seeds: list[int] = index["seed"].to_pylist()
        columns = {name: index[reward_column(name)].to_numpy() for name in self.manifest.rewards}
        self._rewards = {name: torch.tensor(column) for name, column in columns.items()}
        self._shards = [safe_open(path / entry.file, "pt") for entry in self.manifest.shards]

    def __len__(self) -> int:
        return self.manifest.count

    def order(self, seed: int, epoch: int) -> list[int]:
        """All rows in the order of one epoch, the same for any number of ranks."""
        return epoch_order(seed, epoch, len(self))

    def batch(self, rows: Sequence[int]) -> TrajectoryBatch:
        """The rows asked for, in that order."""
        return TrajectoryBatch(
            rows=tuple(rows),
            prompts=tuple(self._prompts[row] for row in rows),
            seeds=tuple(self._seeds[row] for row in rows),
            indices=tuple(self.manifest.indices),
            x0=self._read("x0", rows),
            # What a student is matched to is as precise as x0; all digits are for those who decode it.
            final=self._read("final", rows).half().float(),
            rewards={name: scores[list(rows)] for name, scores in self._rewards.items()},
        )

    def _read(self, name: str, rows: Sequence[int]) -> Tensor:
        size = self.manifest.shard_size
        slices = [self._shards[row // size].get_slice(name) for row in rows]
        return torch.cat([part[row % size : row % size + 1] for part, row in zip(slices, rows, strict=True)]).float()


def _finished_manifest(path: Path) -> Manifest:
    manifest = read_manifest(path)
    if manifest is None:
        raise UserError(f"No trajectory store at {path}: run generate_trajectories first, or name its folder.")
    if not manifest.complete:
        shards = range(len(shard_rows(manifest.count, manifest.shard_size)))
        done = sum(entry.rows for entry in (read_note(path, shard_file(shard)) for shard in shards) if entry)
        raise UserError(
            f"The trajectory store {path} is unfinished ({done} of {manifest.count} rows): "
            "run generate_trajectories again, it carries on there."
        )
    return manifest
