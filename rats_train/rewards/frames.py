"""A reward for pictures as a reward for videos too: the mean over their frames."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from rats_train.rewards.base import RewardModel


class FrameReward:
    """A `RewardModel` that passes pictures[B, 3, H, W] on and takes videos[B, T, 3, H, W] frame by frame."""

    def __init__(self, reward: RewardModel) -> None:
        self._reward = reward
        self.name, self.weight, self.traits = reward.name, reward.weight, reward.traits

    def score(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Reward[B], of a video the mean over its frames; carries gradient if it is differentiable."""
        if images.ndim != 5:
            return self._reward.score(images, prompts)
        frames = images.shape[1]
        repeated = [prompt for prompt in prompts for _ in range(frames)]
        return self._reward.score(images.flatten(0, 1), repeated).view(-1, frames).mean(dim=1)

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D]; of a video, the direction of its frames' mean."""
        if images.ndim == 4:
            return self._reward.image_features(images)
        features = self._reward.image_features(images.flatten(0, 1)).view(*images.shape[:2], -1)
        return F.normalize(features.mean(dim=1), dim=-1)

    def memory(self, images: int) -> int:
        """Bytes of its weights, and about what is kept for the way back through ``images`` frames."""
        return self._reward.memory(images)

    def to(self, device: torch.device | str) -> Self:
        """Move the model, in place."""
        self._reward.to(device)
        return self
