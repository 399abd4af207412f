"""The advantage of every action of a group: alike for all steps and rewards, or spread over both as in OTCA."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rats_train.losses.credit import compare_again, objective_coefficients, step_credit, velocity_weights
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
    credit: Credit | None, chain: StochasticRollout, verdicts: Tensor, rewards: Sequence[RewardModel]
) -> Advantages:
    """Advantages of the random steps of ``chain``.

    Args:
        credit: how to spread them; None: not at all.
        chain: N = B G chains, group after group.
        verdicts: weighted scores[T, K, B, G] of the K rewards that each of T random steps is judged by; T = 1: all of
            them by the same.
        rewards: the K rewards.
    """
    found = _fused(verdicts, rewards, credit.exploration) if credit and credit.objectives else _summed(verdicts)
    if credit is None or credit.steps == "none":
        return found
    weights = _likeness_weights(chain, credit.floor) if credit.steps == "likeness" else _velocity_weights(chain)
    most = weights.amax(dim=0).expand(found.values.shape[1]).view(verdicts.shape[2:]).mean(dim=1)
    return Advantages(weights * found.values, found.samples | {"credit_of_best_step": most})


def _summed(verdicts: Tensor) -> Advantages:
    return Advantages(_compared(verdicts.sum(dim=1)).flatten(1), {})


def _fused(verdicts: Tensor, rewards: Sequence[RewardModel], exploration: float) -> Advantages:
    """Each reward compared within its group, then fused; the rewards' weights are the shares of exploration."""
    each = _compared(verdicts).transpose(0, 1)
    shares = torch.tensor([reward.weight for reward in rewards], device=each.device, dtype=each.dtype)
    coefficients = objective_coefficients(each.flatten(1), shares / shares.sum(), exploration).view(each.shape)
    samples = {
        f"credit_of_{reward.name}": share.mean(dim=(0, 2)) for reward, share in zip(rewards, coefficients, strict=True)
    }
    fused = (coefficients * each).sum(dim=0)
    again = compare_again(fused.flatten(0, 1), each.flatten(1, 2))
    return Advantages(again.view(len(fused), -1), samples)


def _compared(scores: Tensor) -> Tensor:
    """Group advantages of scores[..., G]."""
    return group_advantages(scores.flatten(0, -2)).view(scores.shape)


def _likeness_weights(chain: StochasticRollout, floor: float) -> Tensor:
    """Weights[T, N] of the steps, by how much nearer each brought a chain to its result."""
    states, drawn = (torch.stack([getattr(step, name) for step in chain.transitions]) for name in ("state", "drawn"))
    return step_credit(states, drawn, chain.final.detach(), floor)


def _velocity_weights(chain: StochasticRollout) -> Tensor:
    """Weights[T, 1] of the steps, alike for all chains."""
    return velocity_weights(torch.stack([step.response for step in chain.transitions])).view(-1, 1)
