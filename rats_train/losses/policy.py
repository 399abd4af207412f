"""Group-relative policy gradient on Gaussian transitions: B samples, P prompts, G samples a prompt, D dimensions.

Flow-GRPO (arXiv 2505.05470) and DanceGRPO (arXiv 2505.07818): a random sampling step is an action, its Gaussian the
policy, and a sample is good or bad by comparison with the others of its prompt.
"""

import math

import torch
from torch import Tensor

_LEAST_SPREAD = 1e-4


def gaussian_log_prob(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log-density[B] of x[B, ...] under N(mean, std^2), the mean over the D dimensions of a sample.

    The mean in place of the sum keeps the ratio of two policies near 1 whatever the size of the latent. Only ``mean``
    carries gradient into a network; the caller detaches ``x``.
    """
    exponent = -((x - mean) ** 2) / (2 * std**2)
    return (exponent - torch.log(std) - 0.5 * math.log(2 * math.pi)).flatten(1).mean(dim=1)


def gaussian_kl(mean: Tensor, reference_mean: Tensor, std: Tensor) -> Tensor:
    """KL[B] of N(mean, std^2) from N(reference_mean, std^2), the mean over the D dimensions of a sample."""
    return ((mean - reference_mean) ** 2 / (2 * std**2)).flatten(1).mean(dim=1)


def group_advantages(rewards: Tensor) -> Tensor:
    """Advantage[P, G] of rewards[P, G], detached: how many standard deviations above the mean of its group.

    A group of equal rewards teaches nothing: all its advantages are 0.
    """
    # In double precision, because the spread of a group may be small beside its rewards.
    exact = rewards.detach().double()
    centred = exact - exact.mean(dim=1, keepdim=True)
    return (centred / (exact.std(dim=1, correction=0, keepdim=True) + _LEAST_SPREAD)).to(rewards.dtype)


def clipped_policy_loss(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """Loss, the mean of -min(ratio A, clip(ratio, 1 ± clip_range) A) with ratio = exp(log_prob - old_log_prob).

    Args:
        log_prob: log-probability of each action under the policy that learns; the only input that receives gradient.
        old_log_prob: that of the policy which took the action, of the same shape.
        advantage: worth of each action, of a shape that broadcasts.
        clip_range: how far the ratio may leave 1 before an action stops to teach.
    """
    ratio = torch.exp(log_prob - old_log_prob.detach())
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip_range, 1 + clip_range) * advantage).mean()
