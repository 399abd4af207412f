"""What every reward model offers and says of itself, and the one way through which all of them score."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from rats_train.recipe_rewards import Statistics
from rats_train.rewards.checks import check_finite, check_inputs


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a kind of reward declares.

    Attributes:
        differentiable: whether its score carries gradient to the images.
        low: the least raw value; -inf if there is none.
        high: the greatest raw value; inf if there is none.
        reads_prompt: whether the score depends on the prompt as well as on the image.
        pointwise: whether a picture's score depends on no other picture of the batch.
        has_features: whether `RewardModel.image_features` can be asked for.
        batch_size: the most pictures it takes at once, None: as many as come. Larger batches are taken in parts.
    """

    differentiable: bool
    low: float
    high: float
    reads_prompt: bool = True
    pointwise: bool = True
    has_features: bool = False
    batch_size: int | None = None


class RewardModel(Protocol):
    """Scores pictures against prompts; higher is better. ``weight`` is its share where rewards are summed."""

    name: str
    weight: float
    traits: Traits

    def score(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Reward[B] of images[B, 3, H, W] in [0, 1]; carries gradient to the images if it is differentiable."""
        ...

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D] that lie near each other where pictures look alike to this model."""
        ...

    def memory(self, images: int) -> int:
        """Bytes of its weights, and about what is kept for the way back through ``images`` pictures."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """Move the model, in place."""
        ...


class Reward(nn.Module, ABC):
    """The base of all kinds: a kind declares its `traits` and computes raw values; checks and scale are here.

    Args:
        name: what it is called in recipes, reports and errors.
        weight: its share where rewards are summed.
        statistics: mean and standard deviation of its raw values on some frozen set of pictures, or None. With them
            the reward is (value - mean) / std, so that rewards of other scales can be summed with it.
    """

    traits: Traits

    def __init__(self, name: str, weight: float = 1.0, statistics: Statistics | None = None) -> None:
        super().__init__()
        self.name, self.weight, self._statistics = name, weight, statistics

    def score(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Reward[B], float32, of images[B, 3, H, W] in [0, 1] and as many prompts; B may be 0.

        Raises:
            UserError: images or prompts are not such, or a reward is not finite.
        """
        check_inputs(self.name, images, prompts)
        if not len(prompts):
            return torch.zeros(0, device=images.device)
        size = self.traits.batch_size or len(prompts)
        starts = range(0, len(prompts), size)
        values = torch.cat([self._values(images[i : i + size].float(), prompts[i : i + size]) for i in starts])
        if self._statistics:
            values = (values - self._statistics.mean) / self._statistics.std
        return check_finite(self.name, values, prompts)

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D] of images[B, 3, H, W] in [0, 1]; only where the traits say ``has_features``."""
        raise NotImplementedError(f"{type(self).__name__} has no features")

    def memory(self, images: int) -> int:
        """Bytes of its weights, and about what is kept for the way back through ``images`` pictures."""
        weights = sum(weight.numel() * weight.element_size() for weight in self.parameters())
        return weights + images * self._kept_per_image()

    @abstractmethod
    def _values(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Raw values[B], float32, of checked images[B, 3, H, W], float32."""

    def _kept_per_image(self) -> int:
        """About how many bytes one picture leaves behind for the way back."""
        return 0
