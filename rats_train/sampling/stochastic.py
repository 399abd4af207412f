"""From noise to a clean latent by random steps: the chain that a policy gradient learns from."""

from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recompute

from rats_train.sampling.rollout import Velocity
from rats_train.sampling.steps import StochasticStep, cps_step, euler_step, sde_step, x0_from_velocity

STEPS = {"cps": cps_step, "sde": sde_step}


@dataclass(frozen=True)
class Transition:
    """A random step: state[B, ...] at ``sigma``, the state drawn after it, and the Gaussian it was drawn from.

    ``mean[B, ...]`` carries gradient into the velocity; the states carry none, nor does ``denoised[B, ...]``, the clean
    latent that the velocity at ``state`` predicts. ``response``: how many ``std`` a unit of velocity moves ``mean``.
    """

    state: Tensor
    sigma: Tensor
    sigma_next: Tensor
    drawn: Tensor
    mean: Tensor
    std: Tensor
    denoised: Tensor
    response: Tensor


@dataclass(frozen=True)
class StochasticRollout:
    """The final latents[B, ...], and those of the K - 1 random steps on the way there that are learned from."""

    final: Tensor
    transitions: list[Transition]


def stochastic_rollout(
    velocity: Velocity,
    noise: Tensor,
    sigmas: Tensor,
    fresh: Tensor,
    *,
    kind: Literal["cps", "sde"],
    eta: float,
    learned: Collection[int] | None = None,
    final_gradient: bool = False,
    checkpoint: bool = False,
) -> StochasticRollout:
    """Draw a chain whose every step but the last is random; the last, to sigma 0, would leave noise in the picture.

    No gradient runs from one step to another: each step has a graph of its own, so that no second pass over the chain
    is needed to learn from it.

    Args:
        velocity: the model, conditioning included.
        noise: latents[B, ...] at sigma 1.
        sigmas: sigmas[K + 1], falling from 1 to 0.
        fresh: standard normal noise[B, K - 1, ...], one draw for each random step.
        kind: `cps_step` or `sde_step`.
        eta: its share of fresh noise; 0 gives the Euler chain.
        learned: the random steps that are to be learned from; None: all.
        final_gradient: whether the result carries gradient into the last step.
        checkpoint: keep no activations of a step and recompute them on the way back.
    """
    sigmas = sigmas.to(noise.device)

    def evaluate(x: Tensor, k: int, with_gradient: bool) -> Tensor:
        sigma = sigmas[k].expand(len(x))
        with nullcontext() if with_gradient else torch.no_grad():
            return recompute(velocity, x, sigma, use_reentrant=False) if checkpoint else velocity(x, sigma)

    x, transitions, last = noise, [], len(sigmas) - 2
    for k in range(last):
        followed = learned is None or k in learned
        v = evaluate(x, k, followed)
        step: StochasticStep = STEPS[kind](x, v, sigmas[k], sigmas[k + 1], fresh[:, k], eta)
        drawn = step.x.detach()
        if followed:
            denoised = x0_from_velocity(x, v.detach(), sigmas[k])
            response = _response(kind, sigmas[k], sigmas[k + 1], eta)
            transitions.append(Transition(x, sigmas[k], sigmas[k + 1], drawn, step.mean, step.std, denoised, response))
        x = drawn
    final = euler_step(x, evaluate(x, last, final_gradient), sigmas[last], sigmas[last + 1])
    return StochasticRollout(final, transitions)


def _response(kind: Literal["cps", "sde"], sigma: Tensor, sigma_next: Tensor, eta: float) -> Tensor:
    """|d mean / d velocity| / std of a step, whose mean is affine in the velocity."""
    zero = torch.zeros_like(sigma)
    step = STEPS[kind](zero, torch.ones_like(sigma), sigma, sigma_next, zero, eta)
    return step.mean.abs() / step.std
