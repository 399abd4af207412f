"""Matching the student's distribution to the teacher's, with a fake score that learns the student's as it goes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.losses.distribution import (
    ambient_loss,
    ambient_velocity,
    consistency_loss,
    matching_direction,
    matching_loss,
    renoise,
)
from rats_train.methods.base import Role, StepContext
from rats_train.methods.draws import RowDraws
from rats_train.methods.teachers import TEACHER
from rats_train.models.base import PromptEmbeds
from rats_train.phases import phase
from rats_train.recipe_methods import RtdmdMethod
from rats_train.sampling.guidance import conditioned
from rats_train.sampling.steps import ancestral_step, x0_from_velocity

FAKE_SCORE = "fake_score"
# Of the way from s to 1: the ends are left out, where the target's noise grows or nothing of the state is left.
_NEAREST, _FARTHEST = 0.01, 0.98
_LONGEST_MOVE = 0.2


@dataclass(frozen=True)
class Look:
    """A state[B, ...] of the student's chain at level ``s``, diffused on with ``eps`` to x_t[B, ...] at t[B], and what
    the fake score says there: ``velocity[B, ...]``. State and velocity carry gradient, x_t does not."""

    state: Tensor
    s: Tensor
    x_t: Tensor
    t: Tensor
    eps: Tensor
    velocity: Tensor


class DistributionMatching:
    """The frozen guided teacher, the fake score, and what each says of a state of the student's chain."""

    roles: Mapping[str, Role] = {TEACHER: Role(), FAKE_SCORE: Role(trainable=True)}

    def __init__(self, recipe: Recipe, settings: RtdmdMethod) -> None:
        self._guidance_scale, self._own_scale = recipe.teacher.guidance_scale, recipe.student_guidance_scale
        self._consistency_weight = settings.consistency_weight

    def look(self, state: Tensor, s: Tensor, embeds: PromptEmbeds, draws: RowDraws, context: StepContext) -> Look:
        """Diffuse the student's state[B, ...] of level ``s`` on, and ask the fake score there."""
        t = s + (1 - s) * (_NEAREST + (_FARTHEST - _NEAREST) * draws.uniform("level"))
        eps = draws.normal("renoising", tuple(state.shape[1:]))
        x_t = renoise(state.detach(), s, t, eps)
        with phase("fake score"):
            return Look(state, s, x_t, t, eps, self._fake_velocity(x_t, t, embeds, context))

    def student_loss(self, look: Look, embeds: PromptEmbeds, context: StepContext) -> Tensor:
        """Loss[B] that draws the states to where the teacher has them; gradient reaches the states alone."""
        with phase("teacher"), torch.no_grad():
            velocity = conditioned(context.model, embeds, self._guidance_scale, context.roles[TEACHER])
            teacher = velocity(look.x_t, look.t)
        direction = matching_direction(look.state, look.x_t, teacher, look.velocity, look.s, look.t)
        return matching_loss(look.state, direction)

    def score_loss(self, look: Look, embeds: PromptEmbeds, draws: RowDraws, context: StepContext) -> Tensor:
        """Loss[B] of the fake score on the student's states; gradient reaches the fake score alone."""
        target = ambient_velocity(look.state.detach(), look.s, look.t, look.eps)
        loss = ambient_loss(look.velocity, target, look.s, look.t)
        if not self._consistency_weight:
            return loss
        with phase("fake score"):
            return loss + self._consistency_weight * self._consistency(look, embeds, draws, context)

    def _consistency(self, look: Look, embeds: PromptEmbeds, draws: RowDraws, context: StepContext) -> Tensor:
        """Loss[B] of the fake score's clean predictions along two random moves by its own velocity."""
        lower = (look.t - _LONGEST_MOVE * draws.uniform("move")).clamp(min=0)
        at, to = (level.view(-1, *[1] * (look.x_t.ndim - 1)) for level in (look.t, lower))
        moved = [
            ancestral_step(look.x_t, look.velocity.detach(), at, to, draws.normal(purpose, look.x_t.shape[1:])).x
            for purpose in ("one move", "another move")
        ]
        both = self._fake_velocity(torch.cat(moved), lower.repeat(2), embeds.concat(embeds), context).chunk(2)
        clean = (x0_from_velocity(x, v, to) for x, v in zip(moved, both, strict=True))
        return consistency_loss(x0_from_velocity(look.x_t, look.velocity, at), *clean)

    def _fake_velocity(self, x: Tensor, sigma: Tensor, embeds: PromptEmbeds, context: StepContext) -> Tensor:
        return context.model.velocity(x, sigma, embeds, context.roles[FAKE_SCORE], self._own_scale)
