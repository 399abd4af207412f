"""What is drawn: one prompt and one noise seed a row, both functions of the recipe."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rats_train.config import Recipe
from rats_train.prompt_file import read_prompts
from rats_train.seeds import derived_seed
from rats_train.trajectories.order import epoch_order


@dataclass(frozen=True)
class PromptBatch:
    """B rows to draw: row numbers, prompts, and the seeds of their initial noise."""

    rows: tuple[int, ...]
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)


class PromptSource:
    """All rows of a recipe, for methods that need no stored trajectories.

    Raises:
        UserError: the recipe names a prompt file that is missing or holds no prompt.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._prompts = _prompts(recipe)
        self._seed = recipe.trajectory_seed

    def __len__(self) -> int:
        return len(self._prompts)

    @property
    def digest(self) -> str:
        """SHA-256 of the prompts, in order."""
        return hashlib.sha256("\n".join(self._prompts).encode()).hexdigest()

    @property
    def all(self) -> list[str]:
        """The prompts of all rows, in order."""
        return self._prompts

    def batch(self, rows: Sequence[int]) -> PromptBatch:
        """The rows asked for, in that order."""
        return PromptBatch(
            tuple(rows),
            tuple(self._prompts[row] for row in rows),
            tuple(derived_seed(self._seed, "noise", row) for row in rows),
        )

    def order(self, seed: int, epoch: int) -> list[int]:
        """All rows in the order of one epoch."""
        return epoch_order(seed, epoch, len(self))


def _prompts(recipe: Recipe) -> list[str]:
    """``trajectories.count`` prompts: the embedded world's, or those of a file, over and over where it has fewer."""
    wanted = recipe.trajectories
    if wanted.prompts == "embedded":
        from rats_train.world.grammar import practice_prompts  # own prompts need nothing of the embedded world

        prompts: list[str] = practice_prompts(wanted.count, recipe.trajectory_seed)
        return prompts
    lines = read_prompts(wanted.prompts, "trajectories.prompts")
    return [lines[row % len(lines)] for row in range(wanted.count)]
