"""Classifier-free guidance as a velocity of its own."""

from collections.abc import Callable

import torch
from torch import Tensor

from rats_train.models.base import PromptEmbeds
from rats_train.sampling.rollout import Velocity


def guided(
    velocity: Callable[[Tensor, Tensor, PromptEmbeds], Tensor], cond: PromptEmbeds, uncond: PromptEmbeds, scale: float
) -> Velocity:
    """The velocity v_uncond + scale (v_cond - v_uncond) for latents of as many rows as ``cond`` and ``uncond`` have.

    Scale 1 evaluates the conditional branch alone: half the cost. Otherwise both run as one batch, as in diffusers.
    """
    if scale == 1:
        return lambda x, sigma: velocity(x, sigma, cond)
    both = uncond.concat(cond)

    def at(x: Tensor, sigma: Tensor) -> Tensor:
        v_uncond, v_cond = velocity(torch.cat([x, x]), torch.cat([sigma, sigma]), both).chunk(2)
        return v_uncond + scale * (v_cond - v_uncond)

    return at
