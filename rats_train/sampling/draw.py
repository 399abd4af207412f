"""Prompts and seeds in, pixels out: the sampler that evaluation, serving and previews share."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rats_train.models.base import FlowModel
from rats_train.sampling.guidance import conditioned
from rats_train.sampling.noise import initial_noise
from rats_train.sampling.rollout import rollout


@torch.no_grad()
def draw(
    model: FlowModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    sigmas: Tensor,
    guidance_scale: float,
    batch_size: int,
    transformer: nn.Module | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Images[N, 3, H, W] or videos[N, T, 3, H, W] in [0, 1], on the CPU, of one prompt and one seed each.

    Args:
        model: the family that encodes and decodes.
        prompts: N prompts.
        seeds: N seeds of the initial noise.
        sigmas: the schedule, falling from 1 to 0.
        guidance_scale: as `conditioned` takes it.
        batch_size: images drawn at a time.
        transformer: weights to draw with in place of the model's own.
        on_progress: called after each batch with the images drawn so far and N.
    """
    images = []
    for start in range(0, len(prompts), batch_size):
        chunk = slice(start, start + batch_size)
        velocity = conditioned(model, model.encode_prompts(prompts[chunk]), guidance_scale, transformer)
        noise = initial_noise(seeds[chunk], model.latent_shape).to(model.device)
        images.append(model.decode(rollout(velocity, noise, sigmas, keep_x0=()).final).cpu())
        if on_progress is not None:
            on_progress(min(start + batch_size, len(prompts)), len(prompts))
    return torch.cat(images)


def to_uint8(images: Tensor) -> NDArray[np.uint8]:
    """Pixels[..., H, W, 3] of images[..., 3, H, W] in [0, 1], rounded as diffusers rounds them."""
    pixels: NDArray[np.uint8] = (images.movedim(-3, -1) * 255).round().to(torch.uint8).cpu().numpy()
    return pixels
