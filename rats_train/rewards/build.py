"""From the rewards a recipe names to models that score."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from rats_train.embedded import reward_folder
from rats_train.recipe_rewards import RewardKind, RewardSpec
from rats_train.rewards.aesthetic import AestheticReward
from rats_train.rewards.base import Reward, RewardModel
from rats_train.rewards.clip import ClipReward
from rats_train.rewards.frames import FrameReward
from rats_train.rewards.hpsv2 import Hpsv2Reward
from rats_train.rewards.image_reward import ImageReward
from rats_train.rewards.nsfw import NsfwReward
from rats_train.rewards.ocr import OcrReward
from rats_train.rewards.pickscore import PickScoreReward
from rats_train.rewards.verifier import VerifierReward

FolderReward = ClipReward | Hpsv2Reward | PickScoreReward | AestheticReward | ImageReward
PackagedReward = OcrReward | NsfwReward | VerifierReward

FROM_FOLDER: Final[dict[RewardKind, type[FolderReward]]] = {
    "clip": ClipReward,
    "hpsv2": Hpsv2Reward,
    "pickscore": PickScoreReward,
    "aesthetic": AestheticReward,
    "image_reward": ImageReward,
}
"""The class of each kind whose weights lie in a folder."""
PACKAGED: Final[dict[RewardKind, type[PackagedReward]]] = {
    "ocr": OcrReward,
    "nsfw": NsfwReward,
    "verifier": VerifierReward,
}
"""The class of each kind that brings all it needs."""


def load_rewards(specs: Sequence[RewardSpec]) -> list[RewardModel]:
    """Load the reward models that a recipe lists.

    Raises:
        UserError: a folder is missing or is no such reward model, or the package of a kind is not installed.
    """
    return [FrameReward(load_reward(spec)) for spec in specs]


def load_reward(spec: RewardSpec) -> Reward:
    """Load one reward, for pictures.

    Raises:
        UserError: its folder is missing or is no such reward model, or the package of its kind is not installed.
    """
    if spec.path is None:
        return PACKAGED[spec.kind](spec.name, spec.weight, spec.statistics)
    return FROM_FOLDER[spec.kind](reward_folder(spec.path), spec.name, spec.weight, spec.statistics)


def combine(rewards: Sequence[RewardModel], images: Tensor, prompts: Sequence[str]) -> Tensor:
    """The weighted sum[B] of all rewards of images[B, 3, H, W] or videos[B, T, 3, H, W] in [0, 1]."""
    return weighted_scores(rewards, images, prompts).sum(dim=0)


def weighted_scores(rewards: Sequence[RewardModel], images: Tensor, prompts: Sequence[str]) -> Tensor:
    """The scores[K, B] of the K rewards, each times its weight."""
    return torch.stack([reward.weight * reward.score(images, prompts) for reward in rewards])
