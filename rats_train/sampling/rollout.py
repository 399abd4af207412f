"""From noise to a clean latent: one loop for student and teacher, with or without gradient."""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recompute

from rats_train.sampling.chain_gradient import bound_growth
from rats_train.sampling.steps import euler_step, x0_from_velocity

Velocity = Callable[[Tensor, Tensor], Tensor]
"""Maps latents[B, ...] and sigma[B] to the velocity[B, ...]."""


@dataclass(frozen=True)
class Rollout:
    """The final latents[B, ...], and the x0 predictions[B, ...] by the index of the evaluation that made them."""

    final: Tensor
    x0: dict[int, Tensor]


def rollout(
    velocity: Velocity,
    noise: Tensor,
    sigmas: Tensor,
    *,
    keep_x0: Collection[int] | None = None,
    backprop_steps: int | None = None,
    checkpoint: bool = False,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Rollout:
    """Integrate the flow by Euler steps; gradient comes back through them bounded, as `chain_gradient` has it.

    Args:
        velocity: the model, conditioning and guidance included.
        noise: latents[B, ...] at sigma 1.
        sigmas: sigmas[K + 1], falling from 1 to 0.
        keep_x0: evaluations whose x0 prediction is kept; None keeps all K, an empty collection none.
        backprop_steps: only the last so many steps carry gradient; None: all do.
        checkpoint: keep no activations of a step and recompute them on the way back.
        on_step: called after each step with its index and the new latents.
    """
    count = len(sigmas) - 1
    first_with_grad = 0 if backprop_steps is None else count - backprop_steps
    sigmas = sigmas.to(noise.device)
    x, x0, with_grad = noise, {}, []
    for k in range(count):
        with nullcontext() if k >= first_with_grad else torch.no_grad():
            sigma = sigmas[k].expand(len(x))
            v = recompute(velocity, x, sigma, use_reentrant=False) if checkpoint else velocity(x, sigma)
            if keep_x0 is None or k in keep_x0:
                x0[k] = x0_from_velocity(x, v, sigmas[k])
            x = euler_step(x, v, sigmas[k], sigmas[k + 1])
        if x.requires_grad:
            with_grad.append(x)
        if on_step is not None:
            on_step(k, x)
    if with_grad:
        bound_growth(with_grad)
    return Rollout(x, x0)
