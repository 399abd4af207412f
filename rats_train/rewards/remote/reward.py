"""A reward that another process computes, as one of ours: same scores, same gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rats_train.recipe_rewards import Statistics
from rats_train.rewards.base import Extras, Reward
from rats_train.rewards.remote.client import PATIENCE, RewardClient
from rats_train.rewards.remote.wire import FEATURES, SCORE, pack


class RemoteReward(Reward):
    """The reward that `rats reward serve` serves at ``url``, with the traits that its server declares.

    The gradient comes with the score, in one answer, and is kept for the way back. So the way back needs no server, and
    no training step is ever half done when one goes away.

    Args:
        url: ``http://host:port``.
        name: what it is called here.
        weight: its share where rewards are summed.
        statistics: of the served values.
        patience: seconds for which a server that does not answer is asked again.

    Raises:
        RewardAwayError: no server answers; also on scoring.
        UserError: it is no reward server; on scoring, it serves another reward than before, or refuses the pictures.
    """

    def __init__(
        self,
        url: str,
        name: str,
        weight: float = 1.0,
        statistics: Statistics | None = None,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(name, weight, statistics)
        self._client = RewardClient(url, name, patience)
        served = self._client.describe()
        self.traits, self._max_body = served.traits(), served.max_body

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D] of images[B, 3, H, W] in [0, 1]; without gradient."""
        if not self.traits.has_features:
            return super().image_features(images)
        parts = images.float().split(self._most(images))
        found = [self._client.ask(FEATURES, pack({"images": part}), len(part))["features"] for part in parts]
        return torch.cat(found).to(images.device)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        extras = Extras(
            extras.latents if "latents" in self.traits.inputs else None,
            extras.metadata if "metadata" in self.traits.inputs else None,
        )
        most = self._most(images, extras.latents) if self.traits.pointwise else len(prompts)
        parts = [slice(start, start + most) for start in range(0, len(prompts), most)]
        return torch.cat([self._part(images[rows], prompts[rows], extras.part(rows)) for rows in parts])

    def _part(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        """Values[B] of as many pictures as one request may carry."""
        with_gradient = self.traits.differentiable and images.requires_grad and torch.is_grad_enabled()
        answer = self._client.ask(SCORE, pack({"images": images}, prompts, extras), len(images), gradient=with_gradient)
        score = answer["score"].to(images.device)
        if not with_gradient:
            return score
        # Adds zero, and hangs the score on the images by the gradient that was sent with it.
        gradient = answer["gradient"].to(images.device)
        return score + ((images - images.detach()) * gradient).flatten(1).sum(dim=1)

    def _most(self, images: Tensor, latents: Tensor | None = None) -> int:
        """How many pictures of this size fit into one request with their latents, with room for its header."""
        numbers = sum(rows.shape[1:].numel() for rows in (images, latents) if rows is not None)
        room = (self._max_body - self._max_body // 16) // (numbers * torch.float32.itemsize)
        return max(1, min(room, self.traits.batch_size or room))
