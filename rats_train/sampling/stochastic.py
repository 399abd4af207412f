"""From noise to a clean latent by random steps: the chain that a policy gradient learns from."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recompute

from rats_train.sampling.rollout import Velocity
from rats_train.sampling.steps import StochasticStep, cps_step, euler_step, sde_step

STEPS = {"cps": cps_step, "sde": sde_step}


@dataclass(frozen=True)
class Transition:
    """A random step: state[B, ...] at ``sigma``, the state drawn after it, and the Gaussian it was drawn from.

    ``mean[B, ...]`` carries gradient into the velocity; the states carry none.
    """

    state: Tensor
    sigma: Tensor
    sigma_next: Tensor
    drawn: Tensor
    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class StochasticRollout:
    """The final latents[B, ...], without gradient, and the K - 1 random steps on the way there."""

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
    checkpoint: bool = False,
) -> StochasticRollout:
    """Draw a chain whose every step but the last is random; the last, to sigma 0, would leave noise in the picture.

    No gradient runs from one step to another: each transition has a graph of its own, so that no second pass over the
    chain is needed to learn from it.

    Args:
        velocity: the model, conditioning included.
        noise: latents[B, ...] at sigma 1.
        sigmas: sigmas[K + 1], falling from 1 to 0.
        fresh: standard normal noise[B, K - 1, ...], one draw for each random step.
        kind: `cps_step` or `sde_step`.
        eta: its share of fresh noise; 0 gives the Euler chain.
        checkpoint: keep no activations of a step and recompute them on the way back.
    """
    sigmas = sigmas.to(noise.device)
    x, transitions = noise, []
    for k in range(len(sigmas) - 2):
        sigma = sigmas[k].expand(len(x))
        v = recompute(velocity, x, sigma, use_reentrant=False) if checkpoint else velocity(x, sigma)
        step: StochasticStep = STEPS[kind](x, v, sigmas[k], sigmas[k + 1], fresh[:, k], eta)
        drawn = step.x.detach()
        transitions.append(Transition(x, sigmas[k], sigmas[k + 1], drawn, step.mean, step.std))
        x = drawn
    with torch.no_grad():
        final = euler_step(x, velocity(x, sigmas[-2].expand(len(x))), sigmas[-2], sigmas[-1])
    return StochasticRollout(final, transitions)
