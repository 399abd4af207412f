"""Matching the student's distribution at a noise level s to the teacher's (RTDMD, arXiv 2605.26108; DMD2, 2405.14867).

x_s[B, ...] is a state of the student's chain: noisy, except at s = 0. It is diffused on to a noisier level t, where two
networks say where samples come from: the teacher, and a "fake score" that learns the student's own distribution.

    x_t = a x_s + b eps,    a = (1 - t) / (1 - s),    b^2 = t^2 - a^2 s^2

Levels: ``s`` is a scalar, ``t[B]`` one level a sample, 0 <= s < t <= 1.
"""

import torch
from torch import Tensor


def renoise(x_s: Tensor, s: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """The state x_t[B, ...] that x_s becomes at level t with fresh standard normal ``eps[B, ...]``."""
    kept = (1 - t) / (1 - s)
    return _spread(kept, x_s) * x_s + _spread(added_noise(s, t), x_s) * eps


def added_noise(s: Tensor, t: Tensor) -> Tensor:
    """The standard deviation b[B] of the noise that brings a state from level s to t."""
    return (t**2 - ((1 - t) / (1 - s) * s) ** 2).sqrt()


def ambient_velocity(x_s: Tensor, s: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """A target[B, ...] at x_t whose mean given x_t is the velocity there, made of a noisy x_s alone (AC-DMD).

    v = -x_s / (1 - s) + (t + (1 - t) s^2 / (1 - s)^2) / b eps, for the score of p(x_t | x_s) is -eps / b. At s = 0 it
    is the plain target of flow matching, eps - x_0.
    """
    noise = (t + (1 - t) * s**2 / (1 - s) ** 2) / added_noise(s, t)
    return _spread(noise, x_s) * eps - x_s / (1 - s)


def ambient_loss(velocity: Tensor, target: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Loss[B]: the mean squared error of ``velocity`` from its ambient target, weighed by how much the target knows.

    The less a state says of its clean latent, the noisier the target: what it adds to the error, whatever the network
    says, is Var(target | x_t) = (1 + s^2 / (1 - s)^2) / ((1 - t)^2 + t^2) (t / b)^2 where clean latents are standard
    normal, 70 times that of s = 0 at s = 0.89 and without bound where t comes close to s. Least squares of unequal
    noise are weighed by its inverse; ``weight`` is that of s = 0 over that of s, so that flow matching keeps its own.
    """
    weight = (added_noise(s, t) / t) ** 2 / (1 + s**2 / (1 - s) ** 2)
    return weight * (velocity - target.detach()).square().flatten(1).mean(dim=1)


def consistency_loss(x0: Tensor, x0_moved: Tensor, x0_moved_again: Tensor) -> Tensor:
    """Loss[B]: the mean over dimensions of (x0' - x0)(x0'' - x0), an unbiased estimate of |E x0' - x0|^2.

    Args:
        x0: prediction[B, ...] of the clean latent at a state.
        x0_moved: prediction after a random move of that state to a lower noise level.
        x0_moved_again: prediction after another, independent one.

    What is expected of the clean latent does not change on average while noise is taken away (a martingale), so the
    true prediction has nothing to pay. One move alone would also be charged for its variance. An estimate may be
    negative.
    """
    return ((x0_moved - x0) * (x0_moved_again - x0)).flatten(1).mean(dim=1)


def matching_direction(
    x_s: Tensor, x_t: Tensor, teacher_velocity: Tensor, fake_velocity: Tensor, s: Tensor, t: Tensor
) -> Tensor:
    """Where the student has to go against[B, ...]: x_s by the fake score minus x_s by the teacher, without gradient.

    Both networks move x_t back to s. A random move with noise that they share gives the same difference but for a
    positive factor, so the move is the deterministic one, and the difference is (t - s) (v_teacher - v_fake). As in
    DMD it is divided by the mean distance of x_s from the teacher's move; a random move's noise would inflate that.
    """
    with torch.no_grad():
        back = _spread(t - s, x_s)
        distance = (x_s - (x_t - back * teacher_velocity)).abs().flatten(1).mean(dim=1)
        return back * (teacher_velocity - fake_velocity) / _spread(distance, x_s)


def matching_loss(x_s: Tensor, direction: Tensor) -> Tensor:
    """Loss[B] = 1/2 mean |x_s - sg(x_s - direction)|^2, whose gradient by x_s is ``direction`` over the dimensions."""
    return 0.5 * (x_s - (x_s - direction).detach()).square().flatten(1).mean(dim=1)


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """Values[B] as [B, 1, ...], to be multiplied with ``like[B, ...]``."""
    return values.view(-1, *[1] * (like.ndim - 1))
