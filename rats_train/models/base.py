"""What every model family offers, and the prompt embeddings that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class PromptEmbeds:
    """Encoded prompts: token vectors ``context[B, L, D]`` and one summary ``pooled[B, P]`` each."""

    context: Tensor
    pooled: Tensor

    def __len__(self) -> int:
        return len(self.context)

    def select(self, index: Any) -> "PromptEmbeds":
        """The rows that ``index`` (a slice, a list or a tensor of indices) picks."""
        return PromptEmbeds(self.context[index], self.pooled[index])

    def concat(self, other: "PromptEmbeds") -> "PromptEmbeds":
        """These rows, then the other's."""
        return PromptEmbeds(torch.cat([self.context, other.context]), torch.cat([self.pooled, other.pooled]))

    def repeat(self, n: int) -> "PromptEmbeds":
        """Each row ``n`` times in a row."""
        return PromptEmbeds(self.context.repeat_interleave(n, dim=0), self.pooled.repeat_interleave(n, dim=0))


class FlowModel(Protocol):
    """A text-to-image flow model: latents of ``latent_shape`` (C, h, w), the rest frozen around ``transformer``."""

    transformer: nn.Module
    latent_shape: tuple[int, int, int]

    @property
    def device(self) -> torch.device:
        """Where the frozen parts and the own transformer lie."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """Move all components, in place."""
        ...

    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        """Encode prompts, without gradient."""
        ...

    def velocity(
        self, latents: Tensor, sigma: Tensor, embeds: PromptEmbeds, transformer: nn.Module | None = None
    ) -> Tensor:
        """Velocity[B, C, h, w] at latents[B, C, h, w] and sigma[B]; ``transformer`` lends another role's weights."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Images[B, 3, H, W] in [0, 1]. The gradient passes straight through the clamp to that range."""
        ...

    def save_student(
        self, path: str | Path, state_dict: dict[str, Tensor] | None, terminal_sigma: float, steps: list[int]
    ) -> None:
        """Write a stock diffusers folder that draws on the student's schedule, and ``rats_student.json`` beside it.

        ``state_dict`` replaces the transformer's weights; None saves those loaded.
        """
        ...
