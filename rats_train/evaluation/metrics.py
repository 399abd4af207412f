"""What is measured on drawn pictures: rewards, rules, likeness to real scenes, diversity within a prompt.

Pictures come as ``uint8[N, 3, H, W]``, prompt by prompt, because what people see is what should be scored.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, groupby, pairwise

import torch
from torch import Tensor

from rats_train.devices import accelerator
from rats_train.rewards.base import RewardModel
from rats_train.world import grammar, likeness, verifier


def reward_values(reward: RewardModel, images: Tensor, prompts: Sequence[str], batch_size: int) -> Tensor:
    """Rewards ``[N]`` of ``images[N, 3, H, W]`` for one prompt each.

    Raises:
        UserError: a reward is not finite.
    """
    rows = _rows(len(images), batch_size) if reward.traits.pointwise else _groups(prompts)
    return _in_batches(lambda part, own: reward.score(part, prompts[own]), images, rows)


def judging(rewards: Sequence[RewardModel]) -> list[RewardModel]:
    """Those that can judge pictures alone, which have lost the latents that they were decoded from."""
    return [reward for reward in rewards if "latents" not in reward.traits.inputs]


def encoder(rewards: Sequence[RewardModel]) -> RewardModel | None:
    """The first reward whose features tell pictures apart; None if none has any."""
    return next((reward for reward in rewards if reward.traits.has_features), None)


def features(reward: RewardModel, images: Tensor, batch_size: int) -> Tensor:
    """Unit vectors ``[N, D]`` of ``images[N, 3, H, W]`` that lie near each other where pictures look alike."""
    return _in_batches(lambda part, _: reward.image_features(part), images, _rows(len(images), batch_size))


def feature_diversity(features: Tensor, per_prompt: int) -> Tensor:
    """Mean pairwise cosine distance ``[P]`` between the unit features ``[N, D]`` of the images of a prompt."""
    groups = features.unflatten(0, (-1, per_prompt))
    return _pair_mean(1 - groups @ groups.transpose(1, 2))


def pixel_diversity(images: Tensor, per_prompt: int) -> Tensor:
    """Mean pairwise root-mean-square pixel distance ``[P]``, in [0, 1], between the images of a prompt."""
    groups = to_unit(images).flatten(1).unflatten(0, (-1, per_prompt))
    return _pair_mean(torch.cdist(groups, groups) / groups.shape[-1] ** 0.5)


def can_verify(prompts: Sequence[str]) -> bool:
    """Whether the world's rules can judge all of these prompts; prompts of another world are beyond them."""
    return all(grammar.parse(prompt) is not None for prompt in prompts)


def verified(images: Tensor, prompts: Sequence[str]) -> Tensor:
    """1 for every image ``[N]`` in which everything that its prompt asks for is right, otherwise 0."""
    right = [verifier.verify(image, prompt).all_correct for image, prompt in zip(to_unit(images), prompts, strict=True)]
    return torch.tensor(right, dtype=torch.float32)


def scene_likeness(images: Tensor, prompts: Sequence[str]) -> Tensor:
    """Likeness ``[N]`` to the nearest of all real scenes that the prompt describes, as `world.likeness` has it.

    No learned reward can be gamed into it: a picture that leaves the world's own pictures behind loses here.
    """
    return likeness.scene_likeness(to_unit(images), prompts)


def to_unit(images: Tensor) -> Tensor:
    """``uint8`` pictures as float32 in [0, 1]."""
    return images.to(torch.float32) / 255


def _pair_mean(distances: Tensor) -> Tensor:
    """Mean over the pairs ``i != j`` of distances ``[P, M, M]``."""
    count = distances.shape[-1]
    off_diagonal = distances.masked_fill(torch.eye(count, dtype=torch.bool), 0)
    return off_diagonal.sum(dim=(1, 2)) / (count * (count - 1))


def _rows(count: int, batch_size: int) -> list[slice]:
    return [slice(start, start + batch_size) for start in range(0, count, batch_size)]


def _groups(prompts: Sequence[str]) -> list[slice]:
    """The rows of each prompt, which follow each other."""
    ends = list(accumulate(len(list(group)) for _, group in groupby(prompts)))
    return [slice(start, end) for start, end in pairwise([0, *ends])]


def _in_batches(measure: Callable[[Tensor, slice], Tensor], images: Tensor, rows: Sequence[slice]) -> Tensor:
    """``measure`` over pictures in [0, 1] on the accelerator, if there is one, some rows at a time."""
    with torch.inference_mode():
        return torch.cat([measure(to_unit(images[part]).to(accelerator()), part).float().cpu() for part in rows])
