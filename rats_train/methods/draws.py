"""Random numbers of a training step, by the name of what they are for and of the row that they fall to."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rats_train.sampling.noise import initial_noise
from rats_train.seeds import derived_seed


@dataclass(frozen=True)
class RowDraws:
    """The draws of N rows in one training step: the same whatever rank a row falls to, and new in every step.

    Attributes:
        seed: the recipe's.
        step: the training step's number.
        names: what tells each row apart, such as its number and its place in a group.
        device: where the draws are wanted.
    """

    seed: int
    step: int
    names: Sequence[tuple[int, ...]]
    device: torch.device

    def normal(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """Standard normal[N, *shape]."""
        return initial_noise(self._seeds(purpose), shape).to(self.device)

    def uniform(self, purpose: str) -> Tensor:
        """Uniform[N] in [0, 1)."""
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in self._seeds(purpose)]
        return torch.cat([torch.rand(1, generator=generator) for generator in generators]).to(self.device)

    def _seeds(self, purpose: str) -> list[int]:
        return [derived_seed(self.seed, purpose, self.step, *name) for name in self.names]
