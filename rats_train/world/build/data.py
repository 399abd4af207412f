"""Pools of rendered scenes for the builds."""

import random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rats_train.world.grammar import parse, train_prompts
from rats_train.world.renderer import render
from rats_train.world.scene import sample_scene


def scene_pool(count: int, seed: int) -> tuple[list[str], NDArray[np.uint8]]:
    """``count`` training prompts and one rendered scene of each, ``[count, 64, 64, 3]`` uint8."""
    rng = random.Random(seed)
    prompts = train_prompts(count, seed)
    parsed = [parse(prompt) for prompt in prompts]
    return prompts, np.stack([render(sample_scene(prompt, rng)) for prompt in parsed if prompt is not None])


def to_images(pixels: NDArray[np.uint8]) -> Tensor:
    """``[B, H, W, 3]`` uint8 to ``[B, 3, H, W]`` float in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
