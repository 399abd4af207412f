"""Who deserves how much of an advantage: the steps of a chain, and the objectives (OTCA, arXiv 2604.19234).

Our reconstruction from readings of the paper's sections 3.1 to 3.4; its authors have published no code. N samples,
T steps, K objectives, P prompts of G samples each.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST_SPREAD = 1e-4


def step_credit(states: Tensor, drawn: Tensor, final: Tensor, floor: float) -> Tensor:
    """Weight[T, N] of each step, mean 1 over the steps: by how much it brought a sample closer to its own result.

    w_t = T (max(gain_t, 0) + floor) / sum over steps of the same, gain_t = cos(drawn_t, final) - cos(state_t, final).

    Args:
        states: latents[T, N, ...] before each step.
        drawn: latents[T, N, ...] after it.
        final: the results[N, ...] of the chains.
        floor: what a step is given that gained nothing; without it, a chain without gains would have no weights.
    """
    gain = (_likeness(drawn, final) - _likeness(states, final)).clamp(min=0) + floor
    return (gain / gain.mean(dim=0)).detach()


def velocity_weights(responses: Tensor) -> Tensor:
    """Weight[T] of each step, mean 1 over the steps: its noise then teaches as the change of velocity that it was.

    Noise e of a step is what e / response more of velocity would have done. The gradient of its log-probability is that
    change times response^2, most at the end of a chain, where the least noise is drawn; w_t takes the square away.

    Args:
        responses: |d mean / d velocity| / std of the steps[T].
    """
    weights = responses**-2
    return weights / weights.mean()


def _likeness(latents: Tensor, final: Tensor) -> Tensor:
    return F.cosine_similarity(latents.flatten(2), final.flatten(1)[None], dim=2)


def objective_coefficients(advantages: Tensor, shares: Tensor, exploration: float) -> Tensor:
    """Coefficient[K, N] of each objective for each sample, on the simplex: (1 - exploration) c + exploration shares.

    c is the least-norm combination of the objectives' gradients (MGDA). For one sample all of them are multiples of
    one direction, that of its log-probability, so it is the c that minimises (sum_k c_k A_k)^2: where objectives agree
    on the sign, all weight on the least advantage; where they do not, one that cancels. Of the many that cancel, the
    one that weighs all advantages of a sign alike; the sum is 0 with any of them. ``shares`` keep such a sample alive.

    An advantage of 0 is no opinion, and c is over those that have one: a reward which all samples of a group share, as
    a rule that all of them keep, would otherwise take all weight and silence the rest.

    Args:
        advantages: A[K, N], each objective's own.
        shares: on the simplex[K].
        exploration: share of ``shares`` in the mixture, 0 to 1.
    """
    least_norm = torch.where(_agree(advantages), _least(advantages), _cancelling(advantages))
    return (1 - exploration) * least_norm + exploration * shares[:, None]


def compare_again(fused: Tensor, each: Tensor) -> Tensor:
    """Fused advantages[P, G] with mean 0 in each group, and as wide a spread there as the widest objective's.

    Fusing leaves neither: rewards that pull apart, or one that all samples of a group share, would make it quieter than
    its neighbours. With one objective nothing changes.

    Args:
        fused: advantages[P, G] of P groups; where a group's are all the same, it has nothing to tell, and 0 is left.
        each: A[K, P, G], those of the objectives.
    """
    centred = fused - fused.mean(dim=1, keepdim=True)
    widest = each.std(dim=2, correction=0).amax(dim=0)
    spread = fused.std(dim=1, correction=0)
    return torch.where(spread > _LEAST_SPREAD, widest / spread.clamp(min=_LEAST_SPREAD), 0.0).unsqueeze(1) * centred


def _agree(advantages: Tensor) -> Tensor:
    """Whether[N] no two objectives differ in sign."""
    return (advantages >= 0).all(dim=0) | (advantages <= 0).all(dim=0)


def _least(advantages: Tensor) -> Tensor:
    """All weight on the advantage nearest to 0 but not 0, shared where several are; all alike where there is none."""
    size = torch.where(advantages == 0, torch.inf, advantages.abs())
    nearest = (size == size.amin(dim=0)).to(advantages.dtype)
    return nearest / nearest.sum(dim=0)


def _cancelling(advantages: Tensor) -> Tensor:
    """Weights in proportion to the other sign's sum, so that both signs cancel; 0 on advantages of 0."""
    above, below = advantages.clamp(min=0).sum(dim=0), -advantages.clamp(max=0).sum(dim=0)
    weights = torch.where(advantages > 0, below, torch.where(advantages < 0, above, 0.0))
    return weights / weights.sum(dim=0)
