"""Roll the teacher out once for every row of a recipe and score its results, into a store that can be interrupted at
any moment. Other rewards score what is there; only what the teacher would draw otherwise is drawn again.

python -m rats_train.trajectories.generate --recipe emoji --out runs/trajectories
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from rats_train.config import Recipe, load_recipe
from rats_train.devices import accelerator
from rats_train.errors import UserError
from rats_train.files import atomic_write_bytes, sha256_file
from rats_train.progress import ProgressReport
from rats_train.sampling.teacher import load_teacher
from rats_train.trajectories.files import FileEntry
from rats_train.trajectories.join import join
from rats_train.trajectories.manifest import Manifest, planned_manifest, read_manifest
from rats_train.trajectories.prompts import PromptSource
from rats_train.trajectories.rollouts import TeacherRollouts
from rats_train.trajectories.scoring import EndpointScores
from rats_train.trajectories.shards import chunks, finished, scores_file, shard_file, shard_rows, write_note

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
    ours = found is not None and found.complete and found.key == plan.key
    if found is not None and ours and all(entry.intact(out) for entry in found.files):
        return out
    draw_shards(recipe, out, range(len(shard_rows(plan.count, plan.shard_size))), on_progress)
    return join(recipe, [out], out)


def draw_shards(
    recipe: Recipe, out: str | Path, shards: Sequence[int], on_progress: OnProgress | None = None
) -> Manifest:
    """Have some shards of the recipe's store in ``out`` with their scores, making those that are not finished there.

    What others draw into the same folder at the same time does no harm, also if they score it by other rewards.

    Returns:
        The manifest of the store that they belong to.

    Raises:
        UserError: as `generate`, or there is no such shard.
    """
    out, plan = Path(out), planned_manifest(recipe)
    _claimed(plan, out)
    rows = shard_rows(plan.count, plan.shard_size)
    if unknown := [shard for shard in shards if shard >= len(rows)]:
        raise UserError(f"There is no shard {unknown[0]}: the trajectories of {recipe.name} have {len(rows)}.")
    plan.write(out)
    missing = [shard for shard in shards if not _whole(out, shard, plan)]
    if missing:
        done = sum(len(rows[shard]) for shard in shards if shard not in missing)
        report = _Report(on_progress, done, sum(len(rows[shard]) for shard in shards))
        maker = _Maker(recipe, plan, out, report)
        for shard in missing:
            maker.make(shard, rows[shard])
    return plan


def _claimed(plan: Manifest, out: Path) -> Manifest | None:
    """The manifest that is in ``out`` already, if any.

    Raises:
        UserError: it is another recipe's.
    """
    found = read_manifest(out)
    if found is not None and found.drawn_key != plan.drawn_key:
        raise UserError(
            f"{out} holds the trajectories of another recipe (key {found.drawn_key}, wanted {plan.drawn_key}): "
            "name another folder, or delete this one."
        )
    return found


def _whole(out: Path, shard: int, plan: Manifest) -> bool:
    return finished(out, shard_file(shard)) and finished(out, scores_file(shard, plan.rewards))


class _Maker:
    """The loaded teacher and rewards of a recipe, which make shards in ``out``."""

    def __init__(self, recipe: Recipe, plan: Manifest, out: Path, report: "_Report") -> None:
        model = load_teacher(recipe).to(accelerator())
        self._teacher, self._judges = TeacherRollouts(recipe, model, plan.indices), EndpointScores(recipe, model)
        self._source, self._batch_size = PromptSource(recipe), recipe.trajectories.batch_size
        self._rewards, self._out, self._report = plan.rewards, out, report

    def make(self, shard: int, rows: range) -> None:
        """Score a shard, and draw it where it is not there."""
        known = self._stored(shard)
        drawn, scores = [], []
        for chunk in chunks(rows, self._batch_size):
            batch = self._source.batch(chunk)
            if known is None:
                drawn.append(self._teacher.draw(batch))
                final = drawn[-1]["final"]
            else:
                final = known[chunk.start - rows.start : chunk.stop - rows.start]
            scores.append(self._judges.score(final, batch.prompts))
            self._report(scores[-1])
        if drawn:
            self._write(shard_file(shard), drawn, len(rows))
        self._write(scores_file(shard, self._rewards), scores, len(rows))

    def _stored(self, shard: int) -> Tensor | None:
        """The results[B, C, h, w] of a shard that is finished."""
        if not finished(self._out, shard_file(shard)):
            return None
        final: Tensor = safe_open(self._out / shard_file(shard), "pt").get_tensor("final")
        return final

    def _write(self, name: str, parts: list[dict[str, Tensor]], rows: int) -> None:
        file = self._out / name
        atomic_write_bytes(file, save({key: torch.cat([part[key] for part in parts]) for key in parts[0]}))
        write_note(self._out, FileEntry(name, sha256_file(file), rows))


class _Report:
    """Tells how many rows are done, and the mean of their rewards."""

    def __init__(self, on_progress: OnProgress | None, done: int, total: int) -> None:
        self._on_progress, self._done, self._total = on_progress, done, total
        self._rewards: list[float] = []

    def __call__(self, scores: Mapping[str, Tensor]) -> None:
        """Count the scores[B] of one batch in."""
        total = torch.stack(list(scores.values())).sum(dim=0)
        self._done += len(total)
        self._rewards += total.tolist()
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
