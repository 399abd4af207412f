"""What every model family offers, and the prompt embeddings that they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from rats_train.resolution import Resolution


@dataclass(frozen=True)
class PromptEmbeds:
    """Encoded prompts: token vectors ``context[B, L, D]``, and a summary ``pooled[B, P]`` where a family has one."""

    context: Tensor
    pooled: Tensor | None = None

    def __len__(self) -> int:
        return len(self.context)

    def select(self, index: Any) -> "PromptEmbeds":
        """The rows that ``index`` (a slice, a list or a tensor of indices) picks."""
        return PromptEmbeds(self.context[index], None if self.pooled is None else self.pooled[index])

    def to(self, device: torch.device) -> "PromptEmbeds":
        """The same on ``device``."""
        return PromptEmbeds(self.context.to(device), None if self.pooled is None else self.pooled.to(device))

    def concat(self, other: "PromptEmbeds") -> "PromptEmbeds":
        """These rows, then the other's."""
        return concatenated([self, other])

    def repeat(self, n: int) -> "PromptEmbeds":
        """Each row ``n`` times in a row."""
        rows = torch.arange(len(self), device=self.context.device).repeat_interleave(n)
        return self.select(rows)


def concatenated(parts: Sequence[PromptEmbeds]) -> PromptEmbeds:
    """The rows of all parts, in order."""
    pooled = [part.pooled for part in parts if part.pooled is not None]
    return PromptEmbeds(torch.cat([part.context for part in parts]), torch.cat(pooled) if pooled else None)


class FlowModel(Protocol):
    """A text-to-image or text-to-video flow model; only ``transformer`` is trainable, the rest is frozen around it.

    Latents are ``[B, *latent_shape]``: (C, h, w) of pictures, (C, T, h, w) of videos. ``takes_guidance`` tells whether
    the transformer itself is told the guidance scale (FLUX.1-dev), so that any scale costs one evaluation a step.
    """

    transformer: nn.Module
    latent_shape: tuple[int, ...]
    takes_guidance: bool
    resolution: Resolution

    @property
    def device(self) -> torch.device:
        """Where the decoder and the own transformer lie."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """Move all components, in place."""
        ...

    def sigmas(self, steps: int) -> Tensor:
        """Sigmas[steps + 1] that the folder's own pipeline walks, falling from 1 to 0."""
        ...

    def load_adapter(self, name: str, folder: Path) -> None:
        """Put the LoRA adapter in ``folder`` beside the weights; `use_adapter` switches it on."""
        ...

    def use_adapter(self, name: str) -> None:
        """Compute with this adapter alone; with none if ``name`` is empty."""
        ...

    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        """Encode prompts, without gradient."""
        ...

    def remember_prompts(self, prompts: Sequence[str], batch_size: int) -> None:
        """Encode prompts now, keep their embeddings in the processor's memory, and move the text encoders there too."""
        ...

    def velocity(
        self,
        latents: Tensor,
        sigma: Tensor,
        embeds: PromptEmbeds,
        transformer: nn.Module | None = None,
        guidance_scale: float | Tensor = 1.0,
    ) -> Tensor:
        """Velocity[B, *latent_shape] at latents[B, *latent_shape] and sigma[B]; ``transformer`` lends another role's
        weights, and ``guidance_scale``, one or one a row[B], is what a transformer that ``takes_guidance`` is told."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Images[B, 3, H, W] in [0, 1], or videos[B, T, 3, H, W]. The gradient passes straight through the clamp."""
        ...

    def save_student(
        self,
        path: str | Path,
        state_dict: dict[str, Tensor] | None,
        *,
        terminal_sigma: float,
        steps: list[int],
        guidance_scale: float,
        lora: dict[str, Tensor] | None = None,
    ) -> None:
        """Write a stock diffusers folder that draws on the student's schedule, and ``rats_student.json`` beside it.

        ``state_dict`` replaces the transformer's weights; None saves those loaded. ``guidance_scale`` is the one to
        draw with. ``lora`` is the adapter that made the weights, if one did.
        """
        ...
