"""Reward-tilted distribution matching (RTDMD, arXiv 2605.26108): the teacher's distribution first, then tilted.

    KL(p_student || p~),  p~ ∝ p_teacher exp(r):   gradient = that of KL(p_student || p_teacher) - that of E[r]

Cold start, AC-DMD: the state after one random step of the served chain is matched at its own noise level s. The fake
score learns in every step, the student in some. Then, both in every step, at a rate that rises and falls anew:

    L = L_policy + matching_weight * mean_i( g_i L_match,i ) - reward_weight * mean_i( r_i )

L_policy is the policy gradient of `grpo` on some of the random steps of a group's chains; the other two terms go back
through the last step of the same chains, which is deterministic. g is 1, or the gate of RATS.

Where this differs from the authors' code, and why: docs/paper_index.md.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.learning_rate import stage_multiple
from rats_train.losses.gate import hard_gate, reward_gate
from rats_train.methods.base import STUDENT, Role, StepContext, StepResult
from rats_train.methods.draws import RowDraws
from rats_train.methods.matching import FAKE_SCORE, DistributionMatching
from rats_train.methods.policy_gradient import PolicyGradient, summarise_update
from rats_train.methods.scoring import score, score_each
from rats_train.methods.start import Start, begin, student_rollout, student_velocity
from rats_train.methods.summary import comparison, mean_nfe, summarise_comparison, summarise_gate
from rats_train.methods.teachers import StoredTeacher
from rats_train.phases import phase
from rats_train.recipe_methods import RtdmdMethod
from rats_train.sampling.rollout import rollout
from rats_train.seeds import derived_seed
from rats_train.trajectories.prompts import PromptBatch


class Rtdmd:
    """The method. The frozen teacher speaks twice: as a network, and by its stored rewards, for gap and gate."""

    needs_trajectories = True

    def __init__(self, recipe: Recipe, settings: RtdmdMethod) -> None:
        self._recipe, self._settings = recipe, settings
        self._cold_steps = round(settings.cold_start * recipe.training.steps)
        self._matching = DistributionMatching(recipe, settings)
        self._policy = PolicyGradient(recipe, settings, settings.credit, settings.learned_steps)
        self._stored = StoredTeacher(recipe)
        self.roles: Mapping[str, Role] = {STUDENT: Role(trainable=True), **self._matching.roles, **self._policy.roles}

    def step(self, batch: PromptBatch, context: StepContext) -> StepResult:
        """Losses of one batch at the budget of this step.

        Raises:
            UserError: a reward is not finite.
        """
        start = begin(self._recipe, batch, context)
        if context.step >= self._cold_steps:
            return self._tilt(batch, start, context)
        if context.step % self._settings.fake_updates:
            return self._learn_score(batch, start, context)
        return self._match(batch, start, context)

    def summarise(self, samples: Mapping[str, Tensor]) -> dict[str, float]:
        """The matching loss, what the groups were like, both rewards, their gap, and the gate where there is one."""
        gate = summarise_gate(samples["gate"]) if "gate" in samples else {}
        return {
            "nfe": mean_nfe(samples),
            "matching": float(samples["matching"].mean()),
            **summarise_update(samples),
            **summarise_comparison(samples),
            **gate,
        }

    def _learn_score(self, batch: PromptBatch, start: Start, context: StepContext) -> StepResult:
        """A step of the cold start in which the fake score alone learns."""
        draws = self._draws(batch, start, context)
        with torch.no_grad():
            state, s = self._stop(start, context)
        look = self._matching.look(state, s, start.embeds, draws, context)
        loss = self._matching.score_loss(look, start.embeds, draws, context)
        return StepResult({FAKE_SCORE: loss.mean()}, rates=self._rates(context.step))

    def _match(self, batch: PromptBatch, start: Start, context: StepContext) -> StepResult:
        """A step of the cold start in which both learn."""
        draws = self._draws(batch, start, context)
        state, s = self._stop(start, context)
        reward, teacher_reward = self._served_reward(batch, start, context)
        look = self._matching.look(state, s, start.embeds, draws, context)
        matching = self._matching.student_loss(look, start.embeds, context)
        gate = self._gate(teacher_reward, reward)
        return StepResult(
            losses={
                STUDENT: (gate * matching).mean(),
                FAKE_SCORE: self._matching.score_loss(look, start.embeds, draws, context).mean(),
            },
            samples=comparison(start.nfe, reward, teacher_reward) | self._recorded(matching, gate),
            rates=self._rates(context.step),
        )

    def _tilt(self, batch: PromptBatch, start: Start, context: StepContext) -> StepResult:
        """A step after the cold start: policy gradient, matching and reward of one draw of groups."""
        settings = self._settings
        served, teacher_reward = self._served_reward(batch, start, context)
        groups = self._policy.draw(batch, start, context, final_gradient=True)
        scores = score_each(groups.chain.final, groups.prompts, context)
        update, reward, embeds = self._policy.learn(groups, scores, context), scores.sum(dim=0), groups.start.embeds
        look = self._matching.look(groups.chain.final, start.sigmas[-1], embeds, groups.draws, context)
        matching = self._matching.student_loss(look, embeds, context)
        gate = self._gate(teacher_reward.repeat_interleave(settings.group_size), reward)
        loss = update.loss + settings.matching_weight * (gate * matching).mean()
        by_group = [value.view(len(batch), -1).mean(dim=1) for value in (matching, gate)]
        return StepResult(
            losses={
                STUDENT: loss - settings.reward_weight * reward.mean(),
                FAKE_SCORE: self._matching.score_loss(look, embeds, groups.draws, context).mean(),
            },
            samples=comparison(start.nfe, served, teacher_reward) | update.samples() | self._recorded(*by_group),
            rates=self._rates(context.step),
        )

    def _rates(self, step: int) -> dict[str, float]:
        """Multiples of the step's learning rate: each stage has a warm-up and a fall of its own."""
        settings, cold, steps = self._settings, self._cold_steps, self._recipe.training.steps
        first, last, student = (0, cold, 1.0) if step < cold else (cold, steps, settings.tilt_rate)
        stage = stage_multiple(step, steps, first, last)
        return {STUDENT: stage * student, FAKE_SCORE: stage * settings.fake_rate}

    def _stop(self, start: Start, context: StepContext) -> tuple[Tensor, Tensor]:
        """The served chain after a random step, with gradient into that step, and its level; alike for all ranks."""
        steps = 1 + derived_seed(self._recipe.seed, "stop", context.step) % start.nfe
        velocity = student_velocity(start, context)
        with phase("student"):
            chain = rollout(
                velocity,
                start.noise,
                start.sigmas[: steps + 1],
                keep_x0=(),
                backprop_steps=1,
                checkpoint=context.recompute,
            )
        return chain.final, start.sigmas[steps].to(chain.final.device)

    def _served_reward(self, batch: PromptBatch, start: Start, context: StepContext) -> tuple[Tensor, Tensor]:
        """Rewards[B] of the chain as it is served, and of the teacher's."""
        with torch.no_grad():
            reward = score(student_rollout(start, context).final, batch.prompts, context)
        return reward, self._stored.reward(batch).to(reward.device)

    def _gate(self, teacher_reward: Tensor, reward: Tensor) -> Tensor:
        match self._settings.gate:
            case "none":
                return torch.ones_like(reward.detach())
            case "hard":
                return hard_gate(teacher_reward, reward)
            case "soft":
                return reward_gate(teacher_reward, reward, self._settings.tau)

    def _recorded(self, matching: Tensor, gate: Tensor) -> dict[str, Tensor]:
        samples = {"matching": matching.detach()}
        return samples if self._settings.gate == "none" else samples | {"gate": gate}

    def _draws(self, batch: PromptBatch, start: Start, context: StepContext) -> RowDraws:
        return RowDraws(self._recipe.seed, context.step, [(row,) for row in batch.rows], start.noise.device)
