"""The reward alone, straight through chain, decoder and reward model, as in ReFL and DRaFT.

    L = -R_S

A baseline: RATS without its teacher (alpha = 0). Stored trajectories serve to record the gap, not to learn from.
"""

from collections.abc import Mapping

from torch import Tensor

from rats_train.config import Recipe
from rats_train.methods.base import STUDENT, Role, StepContext, StepResult
from rats_train.methods.scoring import score
from rats_train.methods.start import begin, student_rollout
from rats_train.methods.summary import comparison, mean_nfe, summarise_comparison
from rats_train.methods.teachers import StoredTeacher
from rats_train.recipe_methods import RewardOnlyMethod
from rats_train.trajectories.prompts import PromptBatch


class RewardOnly:
    """The method; it has no role but the student."""

    needs_trajectories = True

    def __init__(self, recipe: Recipe, settings: RewardOnlyMethod) -> None:
        self._recipe, self._settings = recipe, settings
        self._teacher = StoredTeacher(recipe)
        self.roles: Mapping[str, Role] = {STUDENT: Role(trainable=True)}

    def step(self, batch: PromptBatch, context: StepContext) -> StepResult:
        """Loss of one batch at the budget of this step.

        Raises:
            UserError: a reward is not finite.
        """
        start = begin(self._recipe, batch, context)
        chain = student_rollout(start, context, self._settings.backprop_steps)
        reward = score(chain.final, batch.prompts, context)
        teacher_reward = self._teacher.reward(batch).to(reward.device)
        return StepResult(
            losses={STUDENT: -reward.mean()},
            samples=comparison(start.nfe, reward, teacher_reward),
        )

    def summarise(self, samples: Mapping[str, Tensor]) -> dict[str, float]:
        """The loss, both rewards and their gap."""
        return {
            "nfe": mean_nfe(samples),
            "reward_loss": -float(samples["reward_student"].mean()),
            **summarise_comparison(samples),
        }
