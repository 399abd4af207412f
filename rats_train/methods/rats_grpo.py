"""RATS for rewards without a gradient: its reward term is a policy gradient in place of back-propagation.

    L = L_grpo + alpha * mean_i( g_i * shaping_i )

Gate and shaping are those of RATS, on the chain that is served; the policy gradient is that of `grpo`, on groups of
random chains from the same prompts and noises. Our extension: the paper does not describe it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.methods.base import STUDENT, Role, StepContext, StepResult
from rats_train.methods.pairs import Pairing, gated_shaping
from rats_train.methods.policy_gradient import PolicyGradient, summarise_update
from rats_train.methods.scoring import score
from rats_train.methods.start import begin
from rats_train.methods.summary import comparison, mean_nfe, summarise_comparison, summarise_gate
from rats_train.recipe_methods import RatsGrpoMethod
from rats_train.trajectories.prompts import PromptBatch


class RatsGrpo:
    """The method, with its teacher from the store or as an average of the student (``teacher.source``)."""

    def __init__(self, recipe: Recipe, settings: RatsGrpoMethod) -> None:
        self._recipe, self._settings = recipe, settings
        self.needs_trajectories = recipe.teacher.source == "store"
        self._pairing = Pairing(recipe, settings.horizons)
        self._policy = PolicyGradient(recipe, settings)
        self.roles: Mapping[str, Role] = {STUDENT: Role(trainable=True), **self._pairing.roles, **self._policy.roles}

    def step(self, batch: PromptBatch, context: StepContext) -> StepResult:
        """Loss of one batch at the budget of this step: a served chain and a group of random ones for each row.

        Raises:
            UserError: a reward is not finite.
        """
        settings, start = self._settings, begin(self._recipe, batch, context)
        pair = self._pairing.roll(batch, start, context)
        with torch.no_grad():
            reward = score(pair.final, batch.prompts, context)
        shaping = gated_shaping(pair, reward, settings)
        update = self._policy.update(batch, start, context)
        return StepResult(
            losses={STUDENT: update.loss + settings.alpha * shaping.loss},
            samples=comparison(start.nfe, reward, pair.teacher_reward)
            | {"gate": shaping.gate, "shaping": shaping.distances.detach().mean(dim=1)}
            | update.samples(),
        )

    def summarise(self, samples: Mapping[str, Tensor]) -> dict[str, float]:
        """Shaping, what the groups were like, both rewards, their gap, and how far the gate is open."""
        return {
            "nfe": mean_nfe(samples),
            "shaping": float((samples["gate"] * samples["shaping"]).mean()),
            **summarise_update(samples),
            **summarise_comparison(samples),
            **summarise_gate(samples["gate"]),
        }
