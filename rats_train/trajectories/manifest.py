"""The manifest of a trajectory store: what was drawn, how, and the digest of every file that holds it."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rats_train.config import Recipe
from rats_train.embedded import teacher_folder
from rats_train.errors import UserError
from rats_train.files import read_json, sha256_json, sha256_tree, write_json
from rats_train.rewards.digest import reward_digest
from rats_train.sampling.horizons import align_horizons
from rats_train.sampling.schedule import student_sigmas, teacher_sigmas
from rats_train.trajectories.files import FileEntry
from rats_train.trajectories.prompts import PromptSource

VERSION = 2
MANIFEST = "manifest.json"
INDEX = "index.parquet"


@dataclass(frozen=True)
class Manifest:
    """Everything that a store's content depends on, and its finished files in order."""

    teacher_digest: str
    schedule: dict[str, Any]
    """Teacher steps, guidance and resolution, and the evaluations (``indices``) whose x0 predictions are stored."""
    prompts_digest: str
    seed: int
    count: int
    shard_size: int
    rewards: dict[str, str]
    """Digest of each reward model by its name."""
    shards: tuple[FileEntry, ...] = ()
    index: FileEntry | None = None
    complete: bool = False
    version: int = VERSION

    @property
    def key(self) -> str:
        """Content address: 16 hex digits over all inputs, the same before, while and after the files are made."""
        inputs = asdict(replace(self, shards=(), index=None, complete=False))
        return sha256_json(inputs)[:16]

    @property
    def drawn_key(self) -> str:
        """Content address of what the teacher draws: the same whatever rewards score it."""
        return replace(self, rewards={}).key

    @property
    def indices(self) -> list[int]:
        """The teacher evaluations that are stored, ascending."""
        return list(self.schedule["indices"])

    @property
    def files(self) -> list[FileEntry]:
        """Every finished file."""
        return [*self.shards, *([self.index] if self.index else [])]

    def write(self, store: Path) -> None:
        """Write it into the store's folder, atomically."""
        write_json(store / MANIFEST, asdict(self) | {"key": self.key})


def planned_manifest(recipe: Recipe) -> Manifest:
    """The manifest of a store that holds nothing yet.

    Raises:
        UserError: the teacher, a reward model or the prompt file is missing.
    """
    teacher, wanted = recipe.teacher, recipe.trajectories
    prompts = PromptSource(recipe)
    return Manifest(
        teacher_digest=_digest(teacher_folder(recipe.teacher.path), "teacher.path"),
        schedule={
            "teacher_steps": teacher.steps,
            "guidance_scale": teacher.guidance_scale,
            "indices": stored_indices(recipe),
            "resolution": recipe.resolution and recipe.resolution.model_dump(),
        },
        prompts_digest=prompts.digest,
        seed=recipe.trajectory_seed,
        count=recipe.stored_rollouts,
        shard_size=wanted.shard_size,
        rewards={spec.name: reward_digest(spec) for spec in recipe.rewards.train},
    )


def trajectory_key(recipe: Recipe) -> str:
    """The content address of the trajectories that a recipe needs."""
    return planned_manifest(recipe).key


def stored_indices(recipe: Recipe) -> list[int]:
    """The teacher evaluations that some student schedule of the recipe is matched against, ascending."""
    teacher = teacher_sigmas(recipe)
    schedules = [student_sigmas(recipe, steps) for steps in recipe.student.steps]
    return sorted({int(index) for student in schedules for index in align_horizons(student, teacher)})


def read_manifest(store: Path) -> Manifest | None:
    """The manifest in a folder; None where there is none.

    Raises:
        UserError: it is not a manifest, or of another version.
    """
    if not (store / MANIFEST).is_file():
        return None
    values = read_json(store / MANIFEST)
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise UserError(f"{store / MANIFEST} is no trajectory manifest of version {VERSION}: generate the store again.")
    try:
        del values["key"]
        values["shards"] = tuple(FileEntry(**entry) for entry in values["shards"])
        values["index"] = FileEntry(**values["index"]) if values["index"] else None
        return Manifest(**values)
    except (KeyError, TypeError) as error:
        raise UserError(f"{store / MANIFEST} is damaged ({error}): generate the store again.") from error


def _digest(folder: Path, what: str) -> str:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}, which {what} names: write an existing one, or `embedded`.")
    return sha256_tree(folder)
