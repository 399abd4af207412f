"""What the rewards say of latents."""

from collections.abc import Sequence

from torch import Tensor

from rats_train.methods.base import StepContext
from rats_train.phases import phase
from rats_train.rewards.build import combine


def score(latents: Tensor, prompts: Sequence[str], context: StepContext) -> Tensor:
    """The weighted sum[B] of all rewards of latents[B, ...], decoded; carries gradient if the latents do.

    Raises:
        UserError: a reward is not finite.
    """
    with phase("decode"):
        images = context.model.decode(latents)
    with phase("reward"):
        return combine(context.rewards, images, prompts)
