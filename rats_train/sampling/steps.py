"""One step of a sampler, and the two endpoints that a velocity points at. Sigmas are scalars or broadcast to x."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


def x0_from_velocity(x: Tensor, velocity: Tensor, sigma: Tensor) -> Tensor:
    """The clean latent that ``velocity`` at ``x`` predicts: x - sigma v."""
    return x - sigma * velocity


def eps_from_velocity(x: Tensor, velocity: Tensor, sigma: Tensor) -> Tensor:
    """The noise that ``velocity`` at ``x`` predicts: x + (1 - sigma) v."""
    return x + (1 - sigma) * velocity


def euler_step(x: Tensor, velocity: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """The deterministic step along ``velocity``, in the order of operations of diffusers' own scheduler."""
    return x + (sigma_next - sigma) * velocity


class StochasticStep(NamedTuple):
    """A draw from a Gaussian transition; ``mean`` and ``std`` give its log-probability."""

    x: Tensor
    mean: Tensor
    std: Tensor


def sde_step(
    x: Tensor, velocity: Tensor, sigma: Tensor, sigma_next: Tensor, noise: Tensor, eta: float = 0.7
) -> StochasticStep:
    """The reverse SDE with the marginals of the ODE (Flow-GRPO, arXiv 2505.05470); ``eta`` = 0 is Euler.

    At sigma = 1 its diffusion is infinite; as in the authors' code, the next sigma stands in there.
    """
    dt = sigma_next - sigma
    diffusion = eta * (sigma / (1 - torch.where(sigma == 1, sigma_next, sigma))).sqrt()
    drift = velocity + diffusion**2 / (2 * sigma) * (x + (1 - sigma) * velocity)
    mean = x + drift * dt
    std = diffusion * (-dt).sqrt()
    return StochasticStep(mean + std * noise, mean, std)


def cps_step(
    x: Tensor, velocity: Tensor, sigma: Tensor, sigma_next: Tensor, noise: Tensor, eta: float = 0.9
) -> StochasticStep:
    """Coefficient-preserving sampling: the noise share of the next state is part predicted, part fresh.

    ``eta`` = 0 is Euler, ``eta`` = 1 renoises afresh; the step to sigma 0 is deterministic.
    """
    angle = eta * math.pi / 2
    return _preserving(x, velocity, sigma, sigma_next, noise, math.cos(angle), math.sin(angle))


def ancestral_step(x: Tensor, velocity: Tensor, sigma: Tensor, sigma_next: Tensor, noise: Tensor) -> StochasticStep:
    """The reverse of diffusing from ``sigma_next`` to ``sigma``, with the predicted clean latent in place of the true.

    It is the coefficient-preserving step whose share of predicted noise is (1 - sigma) sigma_next / ((1 - sigma_next)
    sigma). Along it the prediction of the clean latent is a martingale: to first order in the step's length, and
    exactly where the data are Gaussian. A fixed share makes it none, however short the step is.
    """
    predicted = (1 - sigma) * sigma_next / ((1 - sigma_next) * sigma)
    return _preserving(x, velocity, sigma, sigma_next, noise, predicted, (1 - predicted**2).sqrt())


def _preserving(
    x: Tensor,
    velocity: Tensor,
    sigma: Tensor,
    sigma_next: Tensor,
    noise: Tensor,
    predicted: Tensor | float,
    fresh: Tensor | float,
) -> StochasticStep:
    """The step with ``predicted`` times the noise of ``velocity``, ``fresh`` times new; their squares add to 1."""
    x0 = x0_from_velocity(x, velocity, sigma)
    eps = eps_from_velocity(x, velocity, sigma)
    mean = (1 - sigma_next) * x0 + sigma_next * predicted * eps
    std = sigma_next * fresh
    return StochasticStep(mean + std * noise, mean, std)
