"""The advantage of every action of a group: alike for all steps and rewards, or spread over both as in OTCA."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rats_train.losses.credit import compare_again, objective_coefficients, step_credit
from rats_train.losses.policy import group_advantages
from rats_train.recipe_methods import Credit
from rats_train.rewards.base import RewardModel
from rats_train.sampling.stochastic import StochasticRollout


@dataclass(frozen=True)
class Advantages:
    """``values[T, N]`` of T steps and N chains (T = 1: alike for all), and what is recorded of each group[B]."""

    values: Tensor
    samples: dict[str, Tensor]


def spread_advantages(
    credit: Credit | None, chain: StochasticRollout, scores: Tensor, rewards: Sequence[RewardModel]
) -> Advantages:
    """Advantages of the random steps of ``chain``.

    Args:
        credit: how to spread them; None: not at all.
        chain: N = B G chains, group after group.
        scores: weighted scores[K, B, G] of the K rewards.
        rewards: the K rewards.
    """
    found = _fused(scores, rewards, credit.exploration) if credit and credit.objectives else _summed(scores)
    if credit is None or not credit.steps:
        return found
    states, drawn = (torch.stack([getattr(step, name) for step in chain.transitions]) for name in ("state", "drawn"))
    weights = step_credit(states, drawn, chain.final.detach(), credit.floor)
    most = weights.amax(dim=0).view(scores.shape[1:]).mean(dim=1)
    return Advantages(weights * found.values, found.samples | {"credit_of_best_step": most})


def _summed(scores: Tensor) -> Advantages:
    return Advantages(group_advantages(scores.sum(dim=0)).view(1, -1), {})


def _fused(scores: Tensor, rewards: Sequence[RewardModel], exploration: float) -> Advantages:
    """Each reward compared within its group, then fused; the rewards' weights are the shares of exploration."""
    each = torch.stack([group_advantages(of_one).flatten() for of_one in scores])
    shares = torch.tensor([reward.weight for reward in rewards], device=each.device, dtype=each.dtype)
    coefficients = objective_coefficients(each, shares / shares.sum(), exploration)
    by_group = coefficients.view(scores.shape).mean(dim=2)
    samples = {f"credit_of_{reward.name}": share for reward, share in zip(rewards, by_group, strict=True)}
    fused = (coefficients * each).sum(dim=0).view(scores.shape[1:])
    return Advantages(compare_again(fused, each.view(scores.shape)).view(1, -1), samples)
