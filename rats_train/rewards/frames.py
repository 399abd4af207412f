"""A reward as recipes use it: for videos too, and with what their prompt files say beside the prompts."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from rats_train.rewards.base import NOTHING, Extras, Metadata, RewardModel


class FrameReward:
    """A `RewardModel` that passes pictures[B, 3, H, W] on and takes videos[B, T, 3, H, W] frame by frame.

    Args:
        reward: for pictures.
        known: what prompt files say of prompts, by their text.
    """

    def __init__(self, reward: RewardModel, known: Mapping[str, Metadata]) -> None:
        self._reward, self._known = reward, known
        self.name, self.weight, self.traits = reward.name, reward.weight, reward.traits

    def score(self, images: Tensor, prompts: Sequence[str], extras: Extras = NOTHING) -> Tensor:
        """Reward[B], of a video the mean over its frames; carries gradient if it is differentiable."""
        if images.ndim != 5:
            return self._reward.score(images, prompts, self._looked_up(prompts, extras.latents))
        frames = images.shape[1]
        repeated = [prompt for prompt in prompts for _ in range(frames)]
        latents = None if extras.latents is None else extras.latents.repeat_interleave(frames, dim=0)
        found = self._reward.score(images.flatten(0, 1), repeated, self._looked_up(repeated, latents))
        return found.view(-1, frames).mean(dim=1)

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D]; of a video, the direction of its frames' mean."""
        if images.ndim == 4:
            return self._reward.image_features(images)
        features = self._reward.image_features(images.flatten(0, 1)).view(*images.shape[:2], -1)
        return F.normalize(features.mean(dim=1), dim=-1)

    def _looked_up(self, prompts: Sequence[str], latents: Tensor | None) -> Extras:
        known = all(prompt in self._known for prompt in prompts)
        return Extras(latents, [self._known[prompt] for prompt in prompts] if known else None)

    def memory(self, images: int) -> int:
        """Bytes of its weights, and about what is kept for the way back through ``images`` frames."""
        return self._reward.memory(images)

    def to(self, device: torch.device | str) -> Self:
        """Move the model, in place."""
        self._reward.to(device)
        return self
