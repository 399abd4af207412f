"""Roll the teacher out once for every row of a recipe, into a store that can be interrupted at any moment.

python -m rats_train.trajectories.generate --recipe emoji --out runs/trajectories
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from rats_train.config import Recipe, load_recipe
from rats_train.errors import UserError
from rats_train.files import atomic_write_bytes, sha256_file
from rats_train.progress import ProgressReport
from rats_train.trajectories.files import FileEntry
from rats_train.trajectories.join import join
from rats_train.trajectories.manifest import Manifest, planned_manifest, read_manifest
from rats_train.trajectories.prompts import PromptSource
from rats_train.trajectories.rollouts import TeacherRollouts
from rats_train.trajectories.shards import chunks, read_note, shard_file, shard_rows, write_note

OnProgress = Callable[[int, int, float], None]
"""Called with rows done, rows in all, and the teacher's mean reward so far."""


def generate(recipe: Recipe, out: str | Path, on_progress: OnProgress | None = None) -> Path:
    """Fill the store at ``out``, keeping the shards that an earlier, interrupted call finished.

    Raises:
        UserError: a checkpoint or the prompt file is missing, ``out`` belongs to another recipe, a reward is not
            finite, or the disk is full.
    """
    out, plan = Path(out), planned_manifest(recipe)
    found = _claimed(plan, out)
    if found is not None and found.complete and all(entry.intact(out) for entry in found.files):
        return out
    draw_shards(recipe, out, range(len(shard_rows(plan.count, plan.shard_size))), on_progress)
    return join(recipe, [out], out)


def draw_shards(recipe: Recipe, out: str | Path, shards: Sequence[int], on_progress: OnProgress | None = None) -> None:
    """Have some shards of the recipe's store in ``out``, drawing those that are not finished there.

    What others draw into the same folder at the same time does no harm.

    Raises:
        UserError: as `generate`, or there is no such shard.
    """
    out, plan = Path(out), planned_manifest(recipe)
    _claimed(plan, out)
    rows = shard_rows(plan.count, plan.shard_size)
    if unknown := [shard for shard in shards if shard >= len(rows)]:
        raise UserError(f"There is no shard {unknown[0]}: the trajectories of {recipe.name} have {len(rows)}.")
    plan.write(out)
    missing = [shard for shard in shards if not _finished(out, shard)]
    if missing:
        done = sum(len(rows[shard]) for shard in shards if shard not in missing)
        report = _Report(on_progress, done, sum(len(rows[shard]) for shard in shards))
        teacher, source = TeacherRollouts(recipe, plan.indices), PromptSource(recipe)
        for shard in missing:
            parts = []
            for chunk in chunks(rows[shard], recipe.trajectories.batch_size):
                parts.append(teacher.draw(source.batch(chunk)))
                report(parts[-1]["rewards"])
            _write(out, shard, parts)


def _claimed(plan: Manifest, out: Path) -> Manifest | None:
    """The manifest that is in ``out`` already, if any.

    Raises:
        UserError: it is another recipe's.
    """
    found = read_manifest(out)
    if found is not None and found.key != plan.key:
        raise UserError(
            f"{out} holds the trajectories of another recipe (key {found.key}, wanted {plan.key}): "
            "name another folder, or delete this one."
        )
    return found


def _finished(out: Path, shard: int) -> bool:
    entry = read_note(out, shard)
    return entry is not None and entry.intact(out)


def _write(out: Path, shard: int, parts: list[dict[str, Tensor]]) -> None:
    name = shard_file(shard)
    atomic_write_bytes(out / name, save({key: torch.cat([part[key] for part in parts]) for key in parts[0]}))
    write_note(out, shard, FileEntry(name, sha256_file(out / name), sum(len(part["seeds"]) for part in parts)))


class _Report:
    """Tells how many rows are done, and the mean of their rewards."""

    def __init__(self, on_progress: OnProgress | None, done: int, total: int) -> None:
        self._on_progress, self._done, self._total = on_progress, done, total
        self._rewards: list[float] = []

    def __call__(self, rewards: Tensor) -> None:
        """Count rewards[B, M] in."""
        self._done += len(rewards)
        self._rewards += rewards.sum(dim=1).tolist()
        if self._on_progress is not None:
            self._on_progress(self._done, self._total, sum(self._rewards) / len(self._rewards))


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Generate the trajectory store of a recipe.")
    parser.add_argument("--recipe", required=True, help="name of a packaged recipe, or a YAML file")
    parser.add_argument("--out", required=True, type=Path, help="folder of the store")
    arguments = parser.parse_args()
    with ProgressReport("trajectories") as report:
        generate(
            load_recipe(arguments.recipe),
            arguments.out,
            lambda done, total, reward: report(done, total, f"reward {reward:.4f}"),
        )


if __name__ == "__main__":
    main()
