"""A chain's gradient, kept from growing on its way back to the noise.

Where two pictures meet, three objects or four, the slightest change of the noise decides which one is drawn, and the
derivative of the reward grows a hundredfold from the result to the noise. One such sample in a batch would be the whole
gradient of that batch, so each sample is bounded on its own. This is the clipping of gradients through time that
recurrent networks need (Pascanu et al. 2013, arXiv 1211.5063, section 3.2); it is not part of the RATS paper.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

GROWTH = 2.0
"""How many times its norm at the result a sample's gradient may reach at an earlier latent."""


def bound_growth(latents: Sequence[Tensor], growth: float = GROWTH) -> None:
    """Bound what flows back through ``latents[B, ...]``, the states of one chain in order, the result last.

    A sample whose gradient at an earlier state exceeds ``growth`` times that at the result is scaled down to it there;
    all others are left as they are, to the bit. A chain whose result takes no part in the loss is not bounded.
    """
    *earlier, result = latents
    limit: list[Tensor] = []

    def remember(gradient: Tensor) -> None:
        limit[:] = [growth * _norms(gradient)]

    def scale_down(gradient: Tensor) -> Tensor | None:
        return _scaled_down(gradient, limit[0]) if limit else None

    result.register_hook(remember)
    for latent in earlier:
        latent.register_hook(scale_down)


def _scaled_down(gradient: Tensor, limit: Tensor) -> Tensor:
    norms = _norms(gradient)
    scale = torch.where(norms > limit, limit / norms, 1.0).to(gradient.dtype)
    return gradient * scale.view(-1, *[1] * (gradient.dim() - 1))


def _norms(gradient: Tensor) -> Tensor:
    """The norm[B] of each sample, in single precision at least."""
    dtype = torch.promote_types(gradient.dtype, torch.float32)
    norms: Tensor = torch.linalg.vector_norm(gradient.detach().flatten(1), dim=1, dtype=dtype)
    return norms
