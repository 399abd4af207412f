"""Where the teacher's side of a batch comes from: the store, or a moving average of the student rolled out now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.methods.base import STUDENT, Role, StepContext
from rats_train.models.base import PromptEmbeds
from rats_train.phases import phase
from rats_train.rewards.base import Extras
from rats_train.rewards.build import combine
from rats_train.sampling.guidance import conditioned
from rats_train.sampling.rollout import rollout
from rats_train.sampling.schedule import teacher_sigmas
from rats_train.trajectories.prompts import PromptBatch
from rats_train.trajectories.reader import TrajectoryBatch

TEACHER = "teacher"


@dataclass(frozen=True)
class Targets:
    """The teacher's x0 predictions at the aligned steps and its result, ``horizons[B, H, C, h, w]``; its reward[B]."""

    horizons: Tensor
    reward: Tensor


class Teacher(Protocol):
    """A source of targets, and the roles it needs for that."""

    roles: dict[str, Role]

    def targets(
        self, batch: PromptBatch, noise: Tensor, embeds: PromptEmbeds, indices: Sequence[int], context: StepContext
    ) -> Targets:
        """Targets for the rows of ``batch`` at the teacher evaluations ``indices``, without gradient."""
        ...


class StoredTeacher:
    """The frozen original, rolled out ahead of training."""

    def __init__(self, recipe: Recipe) -> None:
        self.roles: dict[str, Role] = {}
        self._weights = {spec.name: spec.weight for spec in recipe.rewards.train}

    def targets(
        self, batch: PromptBatch, noise: Tensor, embeds: PromptEmbeds, indices: Sequence[int], context: StepContext
    ) -> Targets:
        """What the store holds for these rows."""
        assert isinstance(batch, TrajectoryBatch)
        horizons = torch.cat([batch.x0_at(indices), batch.final[:, None]], dim=1)
        return Targets(horizons.to(noise.device), self.reward(batch).to(noise.device))

    def reward(self, batch: PromptBatch) -> Tensor:
        """The weighted sum[B] of the rewards of what the store holds for these rows."""
        assert isinstance(batch, TrajectoryBatch)
        return torch.stack([batch.rewards[name] * weight for name, weight in self._weights.items()]).sum(dim=0)


class AveragedTeacher:
    """The moving average of the student, rolled out over all teacher steps in every training step."""

    def __init__(self, recipe: Recipe) -> None:
        teacher = recipe.teacher
        self.roles = {TEACHER: Role(average_of=STUDENT, decay=teacher.ema_decay, every=teacher.ema_every)}
        self._sigmas = teacher_sigmas(recipe)
        self._guidance_scale = teacher.guidance_scale

    @torch.no_grad()
    def targets(
        self, batch: PromptBatch, noise: Tensor, embeds: PromptEmbeds, indices: Sequence[int], context: StepContext
    ) -> Targets:
        """What the average draws now from the same noise."""
        model = context.model
        velocity = conditioned(model, embeds, self._guidance_scale, context.roles[TEACHER])
        with phase("teacher"):
            chain = rollout(velocity, noise, self._sigmas, keep_x0=set(indices))
            reward = combine(context.rewards, model.decode(chain.final), batch.prompts, Extras(chain.final))
        return Targets(torch.stack([*(chain.x0[index] for index in indices), chain.final], dim=1), reward)


def build_teacher(recipe: Recipe) -> Teacher:
    """The teacher that ``teacher.source`` names."""
    return StoredTeacher(recipe) if recipe.teacher.source == "store" else AveragedTeacher(recipe)
