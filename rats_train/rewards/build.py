"""From the rewards a recipe names to models that score."""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from rats_train.recipe_rewards import BUILT_IN, RewardSpec
from rats_train.rewards.aesthetic import AestheticReward
from rats_train.rewards.base import NOTHING, Extras, Metadata, Reward, RewardModel, Traits
from rats_train.rewards.clip import ClipReward
from rats_train.rewards.folder import folder_digest, spec_folder
from rats_train.rewards.frames import FrameReward
from rats_train.rewards.hpsv2 import Hpsv2Reward
from rats_train.rewards.image_reward import ImageReward
from rats_train.rewards.likeness import LikenessReward
from rats_train.rewards.nsfw import NsfwReward
from rats_train.rewards.ocr import OcrReward
from rats_train.rewards.pickscore import PickScoreReward
from rats_train.rewards.plugged import plugged_reward
from rats_train.rewards.remote.client import PATIENCE, RewardClient
from rats_train.rewards.remote.reward import RemoteReward
from rats_train.rewards.verifier import VerifierReward

FolderReward = ClipReward | Hpsv2Reward | PickScoreReward | AestheticReward | ImageReward
PackagedReward = OcrReward | NsfwReward | VerifierReward | LikenessReward

FROM_FOLDER: Final[dict[str, type[FolderReward]]] = {
    "clip": ClipReward,
    "hpsv2": Hpsv2Reward,
    "pickscore": PickScoreReward,
    "aesthetic": AestheticReward,
    "image_reward": ImageReward,
}
"""The class of each kind whose weights lie in a folder."""
PACKAGED: Final[dict[str, type[PackagedReward]]] = {
    "ocr": OcrReward,
    "nsfw": NsfwReward,
    "verifier": VerifierReward,
    "likeness": LikenessReward,
}
"""The class of each kind that brings all it needs."""


def load_rewards(
    specs: Sequence[RewardSpec], patience: float = PATIENCE, known: Mapping[str, Metadata] | None = None
) -> list[RewardModel]:
    """Load the reward models that a recipe lists.

    Args:
        specs: as the recipe has them.
        patience: seconds for which a remote one that does not answer is asked again, now and on scoring.
        known: what the recipe's prompt files say of prompts, by their text.

    Raises:
        UserError: a folder is missing or is no such reward model, or the package of a kind is not installed.
        RewardAwayError: the server of a remote one does not answer.
    """
    return [FrameReward(load_reward(spec, patience), known or {}) for spec in specs]


def load_reward(spec: RewardSpec, patience: float = PATIENCE) -> Reward:
    """Load one reward, for pictures; else as `load_rewards`.

    Raises:
        UserError: also where its folder is not the one that its digest means.
    """
    if spec.kind == "remote" and spec.path is not None:
        return RemoteReward(spec.path, spec.name, spec.weight, spec.statistics, patience)
    if spec.kind in PACKAGED:
        return PACKAGED[spec.kind](spec.name, spec.weight, spec.statistics)
    if spec.digest:
        folder_digest(spec)
    if spec.kind not in BUILT_IN:
        folder = spec_folder(spec) if spec.path else None
        return plugged_reward(spec.kind)(folder, spec.name, spec.weight, spec.statistics)
    return FROM_FOLDER[spec.kind](spec_folder(spec), spec.name, spec.weight, spec.statistics)


def declared_traits(spec: RewardSpec) -> Traits:
    """What the reward of a spec declares, without its weights being loaded.

    Raises:
        UserError: its package cannot be imported.
        RewardAwayError: it is remote, and its server does not answer.
    """
    if spec.kind == "remote" and spec.path is not None:
        return RewardClient(spec.path, spec.name).describe().traits()
    return {**FROM_FOLDER, **PACKAGED}[spec.kind].traits if spec.kind in BUILT_IN else plugged_reward(spec.kind).traits


def combine(rewards: Sequence[RewardModel], images: Tensor, prompts: Sequence[str], extras: Extras = NOTHING) -> Tensor:
    """The weighted sum[B] of all rewards of images[B, 3, H, W] or videos[B, T, 3, H, W] in [0, 1]."""
    return weighted_scores(rewards, images, prompts, extras).sum(dim=0)


def weighted_scores(
    rewards: Sequence[RewardModel], images: Tensor, prompts: Sequence[str], extras: Extras = NOTHING
) -> Tensor:
    """The scores[K, B] of the K rewards, each times its weight."""
    return torch.stack([reward.weight * reward.score(images, prompts, extras) for reward in rewards])
