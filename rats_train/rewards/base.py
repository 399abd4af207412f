"""What every reward model offers and says of itself, and the one way through which all of them score."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol, Self

import torch
from torch import Tensor, nn

from rats_train.recipe_rewards import Statistics
from rats_train.rewards.checks import check_extras, check_inputs, check_values

Input = Literal["image", "prompt", "latents", "metadata"]
Metadata = Mapping[str, Any]
"""What a prompt file says of a prompt beside its text."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a kind of reward declares.

    Attributes:
        differentiable: whether its score carries gradient to what it reads.
        low: the least raw value; -inf if there is none.
        high: the greatest raw value; inf if there is none.
        usual_scale: about the standard deviation of its raw values over pictures that a good model draws; None where
            checkpoints differ too much to say.
        inputs: what the score depends on.
        pointwise: whether a picture's score depends on no other picture. A group-wise one compares the pictures that
            one prompt has in the batch.
        has_features: whether `RewardModel.image_features` can be asked for.
        batch_size: the most pictures it takes at once, None: as many as come. Larger batches are taken in parts, but
            those of a group-wise one stay whole.
    """

    differentiable: bool
    low: float
    high: float
    usual_scale: float | None = None
    inputs: frozenset[Input] = frozenset({"image", "prompt"})
    pointwise: bool = True
    has_features: bool = False
    batch_size: int | None = None

    @property
    def own_gradient(self) -> bool:
        """Whether the gradient of a batch's sum is each picture's own, and to the pictures alone."""
        return self.differentiable and self.pointwise and "latents" not in self.inputs

    def rescaled(self, statistics: Statistics | None) -> "Traits":
        """What it declares once ``statistics``, if any, bring its values to one scale."""
        if statistics is None:
            return self
        low, high = ((end - statistics.mean) / statistics.std for end in (self.low, self.high))
        return replace(self, low=low, high=high, usual_scale=1.0)


@dataclass(frozen=True)
class Extras:
    """What is known of B pictures beside their prompts, for the rewards that read it.

    Attributes:
        latents: ``[B, ...]`` what the pictures were decoded from; None where only the pictures are left.
        metadata: of each prompt; None where nobody looked it up.
    """

    latents: Tensor | None = None
    metadata: Sequence[Metadata] | None = None

    def part(self, rows: slice) -> "Extras":
        """That of some of the pictures."""
        latents, metadata = self.latents, self.metadata
        return Extras(None if latents is None else latents[rows], None if metadata is None else metadata[rows])


NOTHING: Final = Extras()


class RewardModel(Protocol):
    """Scores pictures against prompts; higher is better. ``weight`` is its share where rewards are summed."""

    name: str
    weight: float
    traits: Traits

    def score(self, images: Tensor, prompts: Sequence[str], extras: Extras = NOTHING) -> Tensor:
        """Reward[B] of images[B, 3, H, W] in [0, 1]; carries gradient to what it reads if it is differentiable."""
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
        self.name, self.weight, self.statistics = name, weight, statistics

    def score(self, images: Tensor, prompts: Sequence[str], extras: Extras = NOTHING) -> Tensor:
        """Reward[B], float32, of images[B, 3, H, W] in [0, 1] and as many prompts; B may be 0.

        Raises:
            UserError: images or prompts are not such, an input that it reads is missing, or a value is not finite or
                not in the declared range.
        """
        check_inputs(self.name, images, prompts)
        if not len(prompts):
            return torch.zeros(0, device=images.device)
        check_extras(self.name, self.traits.inputs, extras.latents, extras.metadata, len(prompts))
        values = torch.cat(
            [self._values(images[rows].float(), prompts[rows], extras.part(rows)) for rows in self._parts(len(prompts))]
        )
        check_values(self.name, values, prompts, self.traits.low, self.traits.high)
        return (values - self.statistics.mean) / self.statistics.std if self.statistics else values

    def image_features(self, images: Tensor) -> Tensor:
        """Unit vectors[B, D] of images[B, 3, H, W] in [0, 1]; only where the traits say ``has_features``."""
        raise NotImplementedError(f"{type(self).__name__} has no features")

    def memory(self, images: int) -> int:
        """Bytes of its weights, and about what is kept for the way back through ``images`` pictures."""
        weights = sum(weight.numel() * weight.element_size() for weight in self.parameters())
        return weights + images * self._kept_per_image()

    def _parts(self, count: int) -> list[slice]:
        """The rows of the parts that a batch is taken in."""
        size = (self.traits.batch_size if self.traits.pointwise else None) or count
        return [slice(start, start + size) for start in range(0, count, size)]

    @abstractmethod
    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        """Raw values[B], float32, of checked images[B, 3, H, W], float32."""

    def _kept_per_image(self) -> int:
        """About how many bytes one picture leaves behind for the way back."""
        return 0
