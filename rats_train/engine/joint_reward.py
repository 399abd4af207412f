"""A reward that scores on every rank or on none."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor

from rats_train.engine.ranks import Ranks
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.base import NOTHING, Extras, Metadata, RewardModel
from rats_train.rewards.build import load_rewards


class JointReward:
    """A `RewardModel` whose failure on one rank is a failure on all, in the same call.

    Where one rank cannot score, be it for a picture or for a server that one rank still reaches and another does not,
    the others would go on to the next thing that they do together, and wait there for a rank that never comes.
    """

    def __init__(self, reward: RewardModel, ranks: Ranks) -> None:
        self._reward, self._ranks = reward, ranks
        self.name, self.weight, self.traits = reward.name, reward.weight, reward.traits

    def score(self, images: Tensor, prompts: Sequence[str], extras: Extras = NOTHING) -> Tensor:
        """Reward[B] of this rank's pictures; every rank must ask."""
        return self._ranks.together(lambda: self._reward.score(images, prompts, extras))

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D] of this rank's pictures; every rank must ask."""
        return self._ranks.together(lambda: self._reward.image_features(images))

    def memory(self, images: int) -> int:
        """Bytes of its weights, and about what is kept for the way back through ``images`` pictures."""
        return self._reward.memory(images)

    def to(self, device: torch.device | str) -> Self:
        """Move the model, in place."""
        self._reward.to(device)
        return self


def load_joint_rewards(
    specs: Sequence[RewardSpec], ranks: Ranks, known: Mapping[str, Metadata] | None = None
) -> list[RewardModel]:
    """The rewards that a recipe lists, on this rank's device; ``known`` as `load_rewards` takes it.

    Raises:
        UserError: one is missing, or is no such reward.
        RewardAwayError: the server of a remote one does not answer.
    """
    return [JointReward(reward, ranks).to(ranks.device) for reward in load_rewards(specs, known=known)]
