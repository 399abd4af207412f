"""Reward-Aware Trajectory Shaping (arXiv 2604.14910).

Student and teacher start from one prompt and one noise. The student's x0 prediction at each of its steps is drawn to
the teacher's at the nearest noise level, as strongly as the teacher's reward is above the student's; the student's own
reward is maximised straight through chain, decoder and reward model:

    L = -R_S + alpha * mean_i( g_i * shaping_i ),    g = sg[ sigmoid((R_T - R_S) / tau) ]

The authors' figure prints the gate with the other sign; text and page describe this one: shaping is stronger where
the teacher is better. One student serves every budget: its step count is drawn anew in every step.
"""

from collections.abc import Mapping

from torch import Tensor

from rats_train.config import Recipe
from rats_train.methods.base import STUDENT, Role, StepContext, StepResult
from rats_train.methods.pairs import Pairing, gated_shaping
from rats_train.methods.scoring import score
from rats_train.methods.start import begin
from rats_train.methods.summary import comparison, mean_nfe, summarise_comparison, summarise_gate
from rats_train.recipe_methods import RatsMethod
from rats_train.trajectories.prompts import PromptBatch


class Rats:
    """The method, with its teacher from the store or as an average of the student (``teacher.source``)."""

    def __init__(self, recipe: Recipe, settings: RatsMethod) -> None:
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
        pair = self._pairing.roll(batch, start, context, settings.backprop_steps)
        reward = score(pair.final, batch.prompts, context)
        shaping = gated_shaping(pair, reward, settings)
        return StepResult(
            losses={STUDENT: settings.alpha * shaping.loss - reward.mean()},
            samples=comparison(start.nfe, reward, pair.teacher_reward)
            | {"gate": shaping.gate, "shaping": shaping.distances.detach().mean(dim=1)},
        )

    def summarise(self, samples: Mapping[str, Tensor]) -> dict[str, float]:
        """The parts of the loss, both rewards, their gap, and how far the gate is open."""
        return {
            "nfe": mean_nfe(samples),
            "reward_loss": -float(samples["reward_student"].mean()),
            "shaping": float((samples["gate"] * samples["shaping"]).mean()),
            **summarise_comparison(samples),
            **summarise_gate(samples["gate"]),
        }
