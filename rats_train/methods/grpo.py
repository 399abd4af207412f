"""Group-relative policy optimisation of a flow (Flow-GRPO, arXiv 2505.05470; DanceGRPO, arXiv 2505.07818).

    L = mean_{i,k}( -min( r_ik A_i, clip(r_ik, 1 ± clip_range) A_i ) ) + kl_weight * KL,
    A_i = (R_i - mean of its group) / std of its group,    r_ik = p_new / p_old of sample i's random step k

A baseline, and a method for rewards without a gradient: none runs through them. A student is served without random
steps, so the reward that is recorded as its own is that of one more chain without them, a few per cent of a step's
time; `reward_group` is the mean of the groups. Stored trajectories serve to record the gap, not to learn from.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.methods.base import STUDENT, Role, StepContext, StepResult
from rats_train.methods.policy_gradient import PolicyGradient, summarise_update
from rats_train.methods.scoring import score
from rats_train.methods.start import begin, student_rollout
from rats_train.methods.summary import comparison, mean_nfe, summarise_comparison
from rats_train.methods.teachers import StoredTeacher
from rats_train.recipe_methods import Credit, PolicySettings
from rats_train.trajectories.prompts import PromptBatch


class Grpo:
    """The method; beside the student a frozen reference, where ``kl_weight`` asks for one.

    Args:
        recipe: the whole.
        settings: its own section.
        credit: how advantages are spread over steps and rewards; None: not at all.
    """

    needs_trajectories = True

    def __init__(self, recipe: Recipe, settings: PolicySettings, credit: Credit | None = None) -> None:
        self._recipe = recipe
        self._policy = PolicyGradient(recipe, settings, credit)
        self._teacher = StoredTeacher(recipe)
        self.roles: Mapping[str, Role] = {STUDENT: Role(trainable=True), **self._policy.roles}

    def step(self, batch: PromptBatch, context: StepContext) -> StepResult:
        """Loss of one batch at the budget of this step, a group for each row.

        Raises:
            UserError: a reward is not finite.
        """
        start = begin(self._recipe, batch, context)
        update = self._policy.update(batch, start, context)
        with torch.no_grad():
            served = student_rollout(start, context).final
            reward = score(served, batch.prompts, context)
        teacher_reward = self._teacher.reward(batch).to(reward.device)
        return StepResult(
            losses={STUDENT: update.loss},
            samples=comparison(start.nfe, reward, teacher_reward) | update.samples(),
        )

    def summarise(self, samples: Mapping[str, Tensor]) -> dict[str, float]:
        """What the groups were like, both rewards and their gap."""
        return {"nfe": mean_nfe(samples), **summarise_update(samples), **summarise_comparison(samples)}
