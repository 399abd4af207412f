"""Student and teacher on the same prompts and noise, side by side at equal noise levels (RATS, horizon matching)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.losses.horizon import GatedHorizonLoss, gated_horizon_loss
from rats_train.methods.base import Role, StepContext
from rats_train.methods.start import Start, student_rollout
from rats_train.methods.teachers import build_teacher
from rats_train.recipe_methods import Horizons, RatsGrpoMethod, RatsMethod
from rats_train.sampling.horizons import align_horizons
from rats_train.sampling.schedule import teacher_sigmas
from rats_train.trajectories.prompts import PromptBatch


@dataclass(frozen=True)
class Pair:
    """What is compared, ``student[B, H, C, h, w]`` with gradient and ``teacher[B, H, C, h, w]`` without: x0 predictions
    at the horizons, the results last. The student's result again as ``final[B, C, h, w]``; the teacher's reward[B]."""

    student: Tensor
    teacher: Tensor
    final: Tensor
    teacher_reward: Tensor


class Pairing:
    """Rolls the student and asks the recipe's teacher for the same at ``horizons``."""

    def __init__(self, recipe: Recipe, horizons: Horizons) -> None:
        self._teacher = build_teacher(recipe)
        self._teacher_sigmas = teacher_sigmas(recipe)
        self._horizons = horizons
        self.roles: Mapping[str, Role] = self._teacher.roles

    def roll(self, batch: PromptBatch, start: Start, context: StepContext, backprop_steps: int | None = None) -> Pair:
        """Both sides of ``batch``."""
        matched = range({"all": 0, "later": 1, "final": start.nfe}[self._horizons], start.nfe)
        indices = align_horizons(start.sigmas, self._teacher_sigmas)[matched.start :].tolist()
        targets = self._teacher.targets(batch, start.noise, start.embeds, indices, context)
        chain = student_rollout(start, context, backprop_steps)
        student = torch.stack([*(chain.x0[k] for k in matched), chain.final], dim=1)
        return Pair(student, targets.horizons, chain.final, targets.reward)


def gated_shaping(pair: Pair, student_reward: Tensor, settings: RatsMethod | RatsGrpoMethod) -> GatedHorizonLoss:
    """The shaping term of RATS, before alpha: each sample follows its teacher as far as the gate of rewards[B] asks."""
    return gated_horizon_loss(
        pair.student,
        pair.teacher,
        pair.teacher_reward,
        student_reward,
        settings.tau,
        settings.cosine_weight,
        settings.l2_weight,
        hard=settings.gate == "hard",
    )
