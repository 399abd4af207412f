"""Roll the teacher out once for every row of a recipe, into a store that can be interrupted at any moment.

python -m rats_train.trajectories.generate --recipe emoji --out runs/trajectories
"""

import argparse
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from rats_train.config import Recipe, load_recipe
from rats_train.errors import UserError
from rats_train.files import atomic_write_bytes, sha256_file
from rats_train.progress import ProgressReport
from rats_train.trajectories.manifest import INDEX, FileEntry, Manifest, planned_manifest, read_manifest
from rats_train.trajectories.prompts import PromptSource
from rats_train.trajectories.rollouts import TeacherRollouts

OnProgress = Callable[[int, int, float], None]
"""Called with rows done, rows in all, and the teacher's mean reward so far."""


def generate(recipe: Recipe, out: str | Path, on_progress: OnProgress | None = None) -> Path:
    """Fill the store at ``out``, keeping the shards that an earlier, interrupted call finished.

    Raises:
        UserError: a checkpoint or the prompt file is missing, ``out`` belongs to another recipe, a reward is not
            finite, or the disk is full.
    """
    out = Path(out)
    source = PromptSource(recipe)
    manifest = _resume(planned_manifest(recipe), out)
    if manifest.complete:
        return out
    if len(manifest.shards) < len(_shards(manifest)):
        manifest = _draw_missing(recipe, source, manifest, out, on_progress)
    replace(manifest, index=_write_index(manifest, source, out), complete=True).write(out)
    return out


def _resume(planned: Manifest, out: Path) -> Manifest:
    """The plan, with those finished files of ``out`` whose bytes are still right."""
    found = read_manifest(out)
    if found is None:
        return planned
    if found.key != planned.key:
        raise UserError(
            f"{out} holds the trajectories of another recipe (key {found.key}, wanted {planned.key}): "
            "name another folder, or delete this one."
        )
    if found.complete and all(entry.intact(out) for entry in found.files):
        return found
    return replace(planned, shards=tuple(takewhile(lambda entry: entry.intact(out), found.shards)))


def _shards(manifest: Manifest) -> list[range]:
    """The rows of each shard."""
    return list(_chunks(range(manifest.count), manifest.shard_size))


def _chunks(rows: range, size: int) -> Iterator[range]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _draw_missing(
    recipe: Recipe, source: PromptSource, manifest: Manifest, out: Path, on_progress: OnProgress | None
) -> Manifest:
    """Draw the shards that are missing; the manifest on disk names each as soon as it is whole."""
    teacher = TeacherRollouts(recipe, manifest.indices)
    rewards: list[float] = []
    for shard, rows in list(enumerate(_shards(manifest)))[len(manifest.shards) :]:
        parts = []
        for chunk in _chunks(rows, recipe.trajectories.batch_size):
            parts.append(teacher.draw(source.batch(chunk)))
            rewards += parts[-1]["rewards"].sum(dim=1).tolist()
            if on_progress is not None:
                on_progress(chunk.stop, manifest.count, sum(rewards) / len(rewards))
        entry = _write(out, f"shard-{shard:05d}.safetensors", save(_joined(parts)), len(rows))
        manifest = replace(manifest, shards=(*manifest.shards, entry))
        manifest.write(out)
    return manifest


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _write_index(manifest: Manifest, source: PromptSource, out: Path) -> FileEntry:
    """One line a row, for readers and people: its shard, prompt, seed and rewards."""
    rewards = torch.cat([load_file(out / entry.file)["rewards"] for entry in manifest.shards])
    batch = source.batch(range(manifest.count))
    columns = {
        "row": list(batch.rows),
        "shard": [entry.file for entry in manifest.shards for _ in range(entry.rows)],
        "prompt": list(batch.prompts),
        "seed": list(batch.seeds),
    }
    columns |= {f"reward_{name}": rewards[:, column].numpy() for column, name in enumerate(manifest.rewards)}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return _write(out, INDEX, buffer.getvalue(), manifest.count)


def _write(out: Path, name: str, data: bytes, rows: int) -> FileEntry:
    atomic_write_bytes(out / name, data)
    return FileEntry(name, sha256_file(out / name), rows)


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
