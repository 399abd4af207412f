"""What every reward model offers, and the check that no score passes without."""

from collections.abc import Sequence
from typing import Protocol, Self

import torch
from torch import Tensor

from rats_train.errors import UserError


class RewardModel(Protocol):
    """Scores pictures against prompts; higher is better. ``weight`` is its share where rewards are summed."""

    name: str
    weight: float
    differentiable: bool

    def score(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Reward[B] of images[B, 3, H, W] in [0, 1]; carries gradient to the images if ``differentiable``."""
        ...

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D] that lie near each other where pictures look alike to this model."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """Move the model, in place."""
        ...


def check_finite(name: str, rewards: Tensor, prompts: Sequence[str]) -> Tensor:
    """Hand ``rewards[B]`` on if all are finite.

    Raises:
        UserError: one is not; names the reward model and the prompt.
    """
    finite = rewards.detach().isfinite()
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        raise UserError(
            f'Reward {name} is {rewards[bad].item()} for the prompt "{prompts[bad]}": its checkpoint or the image is '
            "broken; check the reward's weights, or lower training.learning_rate if this came up while training."
        )
    return rewards
