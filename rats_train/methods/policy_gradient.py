"""One on-policy update of a group-relative policy gradient over the student's random steps.

Each prompt is drawn ``group_size`` times from one noise; the draws of a group differ by the fresh noise of their steps
alone (as in DanceGRPO, arXiv 2505.07818), so that this noise is all that the advantage can speak of. Where only some of
the steps are learned from (SubGRPO of RTDMD), the others share their noise within a group, so that what they did is in
no advantage either.

There is one update a draw: the chain is drawn with the very weights that learn from it, its log-probabilities are the
old ones and the new ones at once, the ratio is 1, and ``clip_range`` does not bind. That is the cheapest form here:
drawing keeps each step's graph, and a second update from the same draw would save little more than a decoder call.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.losses.policy import clipped_policy_loss, gaussian_kl, gaussian_log_prob
from rats_train.methods.base import Role, StepContext
from rats_train.methods.credit import spread_advantages
from rats_train.methods.draws import RowDraws
from rats_train.methods.scoring import score_each
from rats_train.methods.start import Start, student_velocity
from rats_train.phases import phase
from rats_train.recipe_methods import Credit, PolicySettings
from rats_train.sampling.noise import initial_noise
from rats_train.sampling.stochastic import STEPS, StochasticRollout, Transition, stochastic_rollout
from rats_train.seeds import derived_seed
from rats_train.trajectories.order import epoch_order
from rats_train.trajectories.prompts import PromptBatch

REFERENCE = "reference"


@dataclass(frozen=True)
class Groups:
    """B groups of G random chains: where they start, their prompts, one a chain, and the chains[B G]."""

    start: Start
    prompts: list[str]
    draws: RowDraws
    chain: StochasticRollout


@dataclass(frozen=True)
class PolicyUpdate:
    """The scalar ``loss``; ``rewards[B, G]`` of each row's group; what else is recorded of each group[B]."""

    loss: Tensor
    rewards: Tensor
    recorded: Mapping[str, Tensor]

    def samples(self) -> dict[str, Tensor]:
        """What is recorded of each row: mean and spread of its group's rewards, its credit, and its KL."""
        spread = self.rewards.std(dim=1, correction=0)
        return {"reward_group": self.rewards.mean(dim=1), "reward_spread": spread, **self.recorded}


class PolicyGradient:
    """Draws groups and scores them; no gradient runs through the rewards.

    Args:
        recipe: the whole.
        settings: what the groups are like.
        credit: how advantages are spread over steps and rewards; None: not at all.
        learned_steps: how many of a chain's random steps are learned from, drawn anew in every step; None: all.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: PolicySettings,
        credit: Credit | None = None,
        learned_steps: int | None = None,
    ) -> None:
        self._seed, self._settings = recipe.seed, settings
        self._credit, self._learned_steps = credit, learned_steps
        self.roles: Mapping[str, Role] = {REFERENCE: Role()} if settings.kl_weight else {}

    def update(self, batch: PromptBatch, start: Start, context: StepContext) -> PolicyUpdate:
        """The update of one batch, a group for each row.

        Raises:
            UserError: a reward is not finite.
        """
        groups = self.draw(batch, start, context)
        with torch.no_grad():
            scores = score_each(groups.chain.final, groups.prompts, context)
        return self.learn(groups, scores, context)

    def draw(self, batch: PromptBatch, start: Start, context: StepContext, *, final_gradient: bool = False) -> Groups:
        """A group of chains for each row; their results carry gradient into their last step if asked."""
        size = self._settings.group_size
        repeated = start.repeated(size)
        names = [(row, member) for row in batch.rows for member in range(size)]
        # Fresh noise by name of step, row and member.
        draws = RowDraws(self._seed, context.step, names, repeated.noise.device)
        prompts = [prompt for prompt in batch.prompts for _ in range(size)]
        learned = self._learned(context.step, start.nfe - 1)
        with phase("student"):
            chain = stochastic_rollout(
                student_velocity(repeated, context),
                repeated.noise,
                repeated.sigmas,
                self._fresh(draws, prompts, (start.nfe - 1, *context.model.latent_shape), learned),
                kind=self._settings.transition,
                eta=self._settings.eta,
                learned=learned,
                final_gradient=final_gradient,
                checkpoint=context.recompute,
            )
        return Groups(repeated, prompts, draws, chain)

    def learn(self, groups: Groups, scores: Tensor, context: StepContext) -> PolicyUpdate:
        """The update from weighted scores[K, B G] of the groups' results by the K rewards."""
        settings, chain = self._settings, groups.chain
        scores = scores.detach().view(len(scores), -1, settings.group_size)
        log_probs = torch.stack([gaussian_log_prob(step.drawn, step.mean, step.std) for step in chain.transitions])
        verdicts = self._verdicts(groups, scores, context)
        advantages = spread_advantages(self._credit, chain, verdicts, context.rewards)
        loss = clipped_policy_loss(log_probs, log_probs.detach(), advantages.values, settings.clip_range)
        rewards = scores.sum(dim=0)
        if not settings.kl_weight:
            return PolicyUpdate(loss, rewards, advantages.samples)
        kl = torch.stack([self._kl(step, groups.start, context) for step in chain.transitions]).mean(dim=0)
        recorded = advantages.samples | {"kl": kl.detach().view_as(rewards).mean(dim=1)}
        return PolicyUpdate(loss + settings.kl_weight * kl.mean(), rewards, recorded)

    def _verdicts(self, groups: Groups, scores: Tensor, context: StepContext) -> Tensor:
        """The scores[T, K, B, G] that each of T random steps is judged by; T = 1: scores[K, B, G] for all of them.

        The noise of the steps to come is in a result as much as a step's own. So the first half of them may be judged
        by the clean latent that the student predicts from where it led, which knows of no other.
        """
        steps = groups.chain.transitions
        half = len(steps) // 2
        if self._credit is None or self._credit.steps != "halves" or not half:
            return scores[None]
        with torch.no_grad():
            predicted = score_each(steps[half].denoised, groups.prompts, context).view(scores.shape)
        return torch.stack([*[predicted] * half, *[scores] * (len(steps) - half)])

    def _learned(self, step: int, random_steps: int) -> Collection[int]:
        """The random steps that training step ``step`` learns from: the same for all rows and ranks."""
        order = epoch_order(derived_seed(self._seed, "learned steps"), step, random_steps)
        return order[: self._learned_steps]

    def _fresh(self, draws: RowDraws, prompts: list[str], shape: tuple[int, ...], learned: Collection[int]) -> Tensor:
        """Noise[B G, K - 1, ...] of the random steps: each chain's own where it learns, its prompt's where not."""
        own = draws.normal("transition", shape)
        rest = [k for k in range(shape[0]) if k not in learned]
        if rest:
            seeds = [derived_seed(self._seed, "shared transition", draws.step, prompt) for prompt in prompts]
            own[:, rest] = initial_noise(seeds, shape).to(own.device)[:, rest]
        return own

    def _kl(self, step: Transition, groups: Start, context: StepContext) -> Tensor:
        """KL[B G] of one random step from the same step under the reference."""
        with torch.no_grad():
            sigma = step.sigma.expand(len(step.state))
            velocity = context.model.velocity(step.state, sigma, groups.embeds, transformer=context.roles[REFERENCE])
        take = STEPS[self._settings.transition]
        nothing = torch.zeros_like(step.state)
        reference = take(step.state, velocity, step.sigma, step.sigma_next, nothing, self._settings.eta)
        return gaussian_kl(step.mean, reference.mean, step.std)


def summarise_update(samples: Mapping[str, Tensor]) -> dict[str, float]:
    """The groups' mean reward, how far it spreads within one, where credit went, and how far the student has left the
    reference."""
    names = ("reward_group", "reward_spread", "kl")
    return {name: float(samples[name].mean()) for name in samples if name in names or name.startswith("credit_of_")}
