"""One evaluation of a transformer for several pictures: its inputs as rows, and how many go in at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rats_train.models.base import FlowModel, PromptEmbeds, concatenated


@dataclass(frozen=True)
class Rows:
    """Inputs of R evaluations: latents[R, ...], sigma[R], R encoded prompts, and the guidance scale[R] to be told."""

    latents: Tensor
    sigma: Tensor
    prompts: PromptEmbeds
    guidance: Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def select(self, index: slice | Tensor) -> "Rows":
        """Some of the rows."""
        return Rows(self.latents[index], self.sigma[index], self.prompts.select(index), self.guidance[index])

    def tensors(self) -> list[Tensor]:
        """All that the rows consist of."""
        pooled = [] if self.prompts.pooled is None else [self.prompts.pooled]
        return [self.latents, self.sigma, self.prompts.context, *pooled, self.guidance]


Evaluate = Callable[[Rows], Tensor]
"""Maps R rows to the velocity[R, ...]."""


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, in order."""
    return Rows(
        torch.cat([part.latents for part in parts]),
        torch.cat([part.sigma for part in parts]),
        concatenated([part.prompts for part in parts]),
        torch.cat([part.guidance for part in parts]),
    )


def velocity_of(model: FlowModel, adapter: str) -> Evaluate:
    """The model's velocity with one of its LoRA adapters, or with none."""

    def evaluate(rows: Rows) -> Tensor:
        model.use_adapter(adapter)
        return model.velocity(rows.latents, rows.sigma, rows.prompts, guidance_scale=rows.guidance)

    return evaluate


def in_chunks(evaluate: Evaluate, size: int) -> Evaluate:
    """The same, at most `size` rows at a time."""

    def at(rows: Rows) -> Tensor:
        chunks = [rows.select(slice(start, start + size)) for start in range(0, len(rows), size)]
        return torch.cat([evaluate(chunk) for chunk in chunks])

    return at
