"""What the rewards say of latents."""

from collections.abc import Sequence

from torch import Tensor

from rats_train.methods.base import StepContext
from rats_train.phases import phase
from rats_train.rewards.base import Extras
from rats_train.rewards.build import weighted_scores


def score(latents: Tensor, prompts: Sequence[str], context: StepContext) -> Tensor:
    """The weighted sum[B] of all rewards of latents[B, ...], decoded; carries gradient if latents and rewards do.

    Raises:
        UserError: a reward is not finite.
    """
    return score_each(latents, prompts, context).sum(dim=0)


def score_each(latents: Tensor, prompts: Sequence[str], context: StepContext) -> Tensor:
    """The weighted scores[K, B] of the K rewards, whose sum is `score`.

    Raises:
        UserError: a reward is not finite.
    """
    with phase("decode"):
        images = context.model.decode(latents)
    with phase("reward"):
        return weighted_scores(context.rewards, images, prompts, Extras(latents))
