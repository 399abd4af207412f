"""How near a picture comes to the real scenes that its prompt describes."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from rats_train.world.grammar import parse
from rats_train.world.renderer import render
from rats_train.world.scene import all_scenes


def scene_likeness(images: Tensor, prompts: Sequence[str]) -> Tensor:
    """Peak signal-to-noise ratio[N] in dB of images[N, 3, 64, 64] in [0, 1] against the nearest of their real scenes.

    60 for the very same picture; 0, as for black in place of white, where a prompt is of another world.
    """
    errors = [_nearest(image, prompt) for image, prompt in zip(images, prompts, strict=True)]
    return -10 * torch.stack(errors).clamp(min=1e-6).log10()


def _nearest(image: Tensor, prompt: str) -> Tensor:
    """Least mean squared error of a picture from the scenes of its prompt."""
    scenes = _right_scenes(prompt).to(image.device)
    if not len(scenes):
        return image.new_ones(())
    nearest: Tensor = (scenes / 255.0 - image).square().mean(dim=(1, 2, 3)).min()
    return nearest


@cache
def _right_scenes(prompt: str) -> Tensor:
    """All scenes ``uint8[S, 3, 64, 64]`` of a prompt of the world, some 2 to 48; none of another world's."""
    parsed = parse(prompt)
    if parsed is None:
        return torch.empty(0)
    return torch.stack([torch.from_numpy(render(scene)).permute(2, 0, 1) for scene in all_scenes(parsed)])
