"""Conditioning and guidance as one velocity."""

import torch
from torch import Tensor, nn

from rats_train.models.base import FlowModel, PromptEmbeds
from rats_train.sampling.rollout import Velocity


def conditioned(
    model: FlowModel, prompts: PromptEmbeds, guidance_scale: float, transformer: nn.Module | None = None
) -> Velocity:
    """The velocity under ``prompts``, for latents of as many rows.

    A transformer that takes the guidance scale is told it. For others this is classifier-free guidance,
    v_uncond + scale (v_cond - v_uncond), both in one batch as in diffusers; scale 1 evaluates the conditional branch
    alone, at half the cost.

    Args:
        model: the family.
        prompts: B encoded prompts.
        guidance_scale: how far to lean towards the prompt.
        transformer: weights in place of the model's own.
    """
    if model.takes_guidance or guidance_scale == 1:
        return lambda x, sigma: model.velocity(x, sigma, prompts, transformer, guidance_scale)
    both = model.encode_prompts([""]).repeat(len(prompts)).concat(prompts)

    def at(x: Tensor, sigma: Tensor) -> Tensor:
        v_uncond, v_cond = model.velocity(torch.cat([x, x]), torch.cat([sigma, sigma]), both, transformer).chunk(2)
        return v_uncond + guidance_scale * (v_cond - v_uncond)

    return at
