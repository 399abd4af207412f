"""Initial noise that depends on the seed of each sample alone: not on batch, rank or device."""

from collections.abc import Sequence

import torch
from torch import Tensor


def initial_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise[B, *shape], float32 on the CPU: the bits that diffusers draws from a list of generators."""
    return torch.stack([torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds])
