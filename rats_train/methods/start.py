"""Where the student's chains of one batch begin, and the deterministic one from there."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.methods.base import STUDENT, StepContext
from rats_train.models.base import PromptEmbeds
from rats_train.phases import phase
from rats_train.sampling.guidance import conditioned
from rats_train.sampling.noise import initial_noise
from rats_train.sampling.rollout import Rollout, Velocity, rollout
from rats_train.sampling.schedule import student_sigmas
from rats_train.seeds import derived_seed
from rats_train.trajectories.prompts import PromptBatch


@dataclass(frozen=True)
class Start:
    """Noise[B, C, h, w] and encoded prompts of a batch, the sigmas[K + 1] of this step's budget, and the guidance scale
    with which the student is drawn."""

    noise: Tensor
    embeds: PromptEmbeds
    sigmas: Tensor
    guidance_scale: float

    @property
    def nfe(self) -> int:
        """The budget K."""
        return len(self.sigmas) - 1

    def repeated(self, times: int) -> "Start":
        """Each row ``times`` times in succession: groups that share prompt and noise."""
        rows = torch.arange(len(self.noise), device=self.noise.device).repeat_interleave(times)
        return Start(self.noise[rows], self.embeds.select(rows), self.sigmas, self.guidance_scale)


def begin(recipe: Recipe, batch: PromptBatch, context: StepContext) -> Start:
    """The start of ``batch`` at the budget of this step."""
    embeds = context.model.encode_prompts(batch.prompts)
    noise = initial_noise(batch.seeds, context.model.latent_shape).to(embeds.context.device)
    sigmas = student_sigmas(recipe, draw_budget(recipe, context.step))
    return Start(noise, embeds, sigmas, recipe.student_guidance_scale)


def draw_budget(recipe: Recipe, step: int) -> int:
    """The student's step count K in training step ``step``, drawn in proportion to 1 / K.

    So every budget gets about as many evaluations of the transformer, and the one that is hardest to learn, the
    smallest, most of the steps.
    """
    budgets = recipe.student.steps
    generator = torch.Generator().manual_seed(derived_seed(recipe.seed, "budget", step))
    share = 1 / torch.tensor(budgets, dtype=torch.float64)
    return budgets[int(torch.multinomial(share, 1, generator=generator))]


def student_velocity(start: Start, context: StepContext) -> Velocity:
    """The student as a velocity, told of guidance what it is told when it is drawn."""
    return conditioned(context.model, start.embeds, start.guidance_scale, context.roles[STUDENT])


def student_rollout(start: Start, context: StepContext, backprop_steps: int | None = None) -> Rollout:
    """The student's chain as it is served: Euler steps, with gradient through the last ``backprop_steps`` or all."""
    velocity = student_velocity(start, context)
    with phase("student"):
        return rollout(velocity, start.noise, start.sigmas, backprop_steps=backprop_steps, checkpoint=context.recompute)
