"""Rigid imitation of the teacher: the shaping of RATS with its gate held open, and no reward to go beyond it.

    L = mean_i( shaping_i )

A baseline: what trajectory distillation alone gives. The reward is recorded, and nothing is learned from it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.losses.horizon import horizon_distances, shaping_loss
from rats_train.methods.base import STUDENT, Role, StepContext, StepResult
from rats_train.methods.pairs import Pairing
from rats_train.methods.scoring import score
from rats_train.methods.start import begin
from rats_train.methods.summary import comparison, mean_nfe, summarise_comparison
from rats_train.recipe_methods import DistillMethod
from rats_train.trajectories.prompts import PromptBatch


class Distill:
    """The method, with its teacher from the store or as an average of the student (``teacher.source``)."""

    def __init__(self, recipe: Recipe, settings: DistillMethod) -> None:
        self._recipe, self._settings = recipe, settings
        self.needs_trajectories = recipe.teacher.source == "store"
        self._pairing = Pairing(recipe, settings.horizons)
        self.roles: Mapping[str, Role] = {STUDENT: Role(trainable=True), **self._pairing.roles}

    def step(self, batch: PromptBatch, context: StepContext) -> StepResult:
        """Loss of one batch at the budget of this step.

        Raises:
            UserError: a reward is not finite.
        """
        settings, start = self._settings, begin(self._recipe, batch, context)
        pair = self._pairing.roll(batch, start, context)
        with torch.no_grad():
            reward = score(pair.final, batch.prompts, context)
        shaping = shaping_loss(
            horizon_distances(pair.student, pair.teacher, settings.cosine_weight, settings.l2_weight)
        )
        return StepResult(
            losses={STUDENT: shaping.mean()},
            samples=comparison(start.nfe, reward, pair.teacher_reward) | {"shaping": shaping.detach()},
        )

    def summarise(self, samples: Mapping[str, Tensor]) -> dict[str, float]:
        """The loss, both rewards and their gap."""
        return {
            "nfe": mean_nfe(samples),
            "shaping": float(samples["shaping"].mean()),
            **summarise_comparison(samples),
        }
