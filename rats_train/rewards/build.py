"""From the rewards a recipe names to models that score."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rats_train.config import RewardSpec
from rats_train.embedded import reward_folder
from rats_train.rewards.base import RewardModel
from rats_train.rewards.clip import ClipReward
from rats_train.rewards.frames import FrameReward


def load_rewards(specs: Sequence[RewardSpec]) -> list[RewardModel]:
    """Load the reward models that a recipe lists.

    Raises:
        UserError: a folder is missing or is not a reward model.
    """
    return [FrameReward(ClipReward(reward_folder(spec.path), spec.name, spec.weight)) for spec in specs]


def combine(rewards: Sequence[RewardModel], images: Tensor, prompts: Sequence[str]) -> Tensor:
    """The weighted sum[B] of all rewards of images[B, 3, H, W] or videos[B, T, 3, H, W] in [0, 1]."""
    return torch.stack([reward.weight * reward.score(images, prompts) for reward in rewards]).sum(dim=0)
