"""Reward-Aware Trajectory Shaping (arXiv 2604.14910).

Student and teacher start from one prompt and one noise. The student's x0 prediction at each of its steps is drawn to
the teacher's at the nearest noise level, as strongly as the teacher's reward is above the student's; the student's own
reward is maximised straight through chain, decoder and reward model:

    L = -R_S + alpha * mean_i( g_i * shaping_i ),    g = sg[ sigmoid((R_T - R_S) / tau) ]

The authors' figure prints the gate with the other sign; text and page describe this one: shaping is stronger where
the teacher is better. One student serves every budget: its step count is drawn anew in every step.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.losses.horizon import gated_horizon_loss
from rats_train.methods.base import STUDENT, Role, StepContext, StepResult
from rats_train.methods.teachers import AveragedTeacher, StoredTeacher, Teacher
from rats_train.models.base import PromptEmbeds
from rats_train.rewards.build import combine
from rats_train.sampling.horizons import align_horizons
from rats_train.sampling.noise import initial_noise
from rats_train.sampling.rollout import Rollout, rollout
from rats_train.sampling.schedule import student_sigmas, teacher_sigmas
from rats_train.seeds import derived_seed
from rats_train.trajectories.order import epoch_order
from rats_train.trajectories.prompts import PromptBatch


class Rats:
    """The method, with its teacher from the store or as an average of the student (``teacher.source``)."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self.needs_trajectories = recipe.teacher.source == "store"
        self._teacher: Teacher = StoredTeacher(recipe) if self.needs_trajectories else AveragedTeacher(recipe)
        self.roles: Mapping[str, Role] = {STUDENT: Role(trainable=True), **self._teacher.roles}
        self._teacher_sigmas = teacher_sigmas(recipe.teacher.steps)

    def step(self, batch: PromptBatch, context: StepContext) -> StepResult:
        """Loss of one batch at the budget of this step.

        Raises:
            UserError: a reward is not finite.
        """
        method, model = self._recipe.method, context.model
        sigmas = student_sigmas(self.budget(context.step), self._recipe.student.terminal_sigma)
        embeds = model.encode_prompts(batch.prompts)
        noise = initial_noise(batch.seeds, model.latent_shape).to(embeds.context.device)
        indices = align_horizons(sigmas, self._teacher_sigmas).tolist()
        teacher = self._teacher.targets(batch, noise, embeds, indices, context)
        student = self._roll(noise, sigmas, embeds, context)
        reward = combine(context.rewards, model.decode(student.final), batch.prompts)
        horizons = torch.stack([*(student.x0[k] for k in range(len(indices))), student.final], dim=1)
        shaping = gated_horizon_loss(
            horizons, teacher.horizons, teacher.reward, reward, method.tau, method.cosine_weight, method.l2_weight
        )
        loss = method.alpha * shaping.loss - reward.mean()
        return StepResult(
            losses={STUDENT: loss},
            samples={
                "nfe": torch.full_like(teacher.reward, len(indices)),
                "reward_student": reward.detach(),
                "reward_teacher": teacher.reward,
                "gate": shaping.gate,
                "shaping": shaping.distances.detach().mean(dim=1),
            },
        )

    def summarise(self, samples: Mapping[str, Tensor]) -> dict[str, float]:
        """The parts of the loss, both rewards, their gap, and how far the gate is open."""
        student, teacher, gate = samples["reward_student"], samples["reward_teacher"], samples["gate"]
        return {
            "nfe": float(samples["nfe"].mean()),
            "reward_loss": -float(student.mean()),
            "shaping": float((gate * samples["shaping"]).mean()),
            "reward_student": float(student.mean()),
            "reward_teacher": float(teacher.mean()),
            "gap": float((student - teacher).mean()),
            "gate_mean": float(gate.mean()),
            "gate_min": float(gate.min()),
            "gate_max": float(gate.max()),
        }

    def budget(self, step: int) -> int:
        """The student's step count in training step ``step``: every budget once, shuffled, then over again."""
        budgets = self._recipe.student.steps
        cycle, place = divmod(step, len(budgets))
        return budgets[epoch_order(derived_seed(self._recipe.seed, "budget"), cycle, len(budgets))[place]]

    def _roll(self, noise: Tensor, sigmas: Tensor, embeds: PromptEmbeds, context: StepContext) -> Rollout:
        def velocity(x: Tensor, sigma: Tensor) -> Tensor:
            return context.model.velocity(x, sigma, embeds, transformer=context.roles[STUDENT])

        return rollout(
            velocity,
            noise,
            sigmas,
            backprop_steps=self._recipe.method.backprop_steps,
            checkpoint=context.recompute,
        )
