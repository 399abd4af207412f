"""One on-policy update of a group-relative policy gradient over the student's random steps.

Each prompt is drawn ``group_size`` times from one noise; the draws of a group differ by the fresh noise of their steps
alone (as in DanceGRPO, arXiv 2505.07818), so that this noise is all that the advantage can speak of.

There is one update a draw: the chain is drawn with the very weights that learn from it, its log-probabilities are the
old ones and the new ones at once, the ratio is 1, and ``clip_range`` does not bind. That is the cheapest form here:
drawing keeps each step's graph, and a second update from the same draw would save little more than a decoder call.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rats_train.config import PolicySettings, Recipe
from rats_train.losses.policy import clipped_policy_loss, gaussian_kl, gaussian_log_prob, group_advantages
from rats_train.methods.base import Role, StepContext
from rats_train.methods.scoring import score
from rats_train.methods.start import Start, student_velocity
from rats_train.phases import phase
from rats_train.sampling.noise import initial_noise
from rats_train.sampling.stochastic import STEPS, StochasticRollout, Transition, stochastic_rollout
from rats_train.seeds import derived_seed
from rats_train.trajectories.prompts import PromptBatch

REFERENCE = "reference"


@dataclass(frozen=True)
class PolicyUpdate:
    """The scalar ``loss``; ``rewards[B, G]`` of each row's group; ``kl[B]`` to the reference, where there is one."""

    loss: Tensor
    rewards: Tensor
    kl: Tensor | None

    def samples(self) -> dict[str, Tensor]:
        """What is recorded of each row: mean and spread of its group's rewards, and its KL."""
        group = {"reward_group": self.rewards.mean(dim=1), "reward_spread": self.rewards.std(dim=1, correction=0)}
        return group if self.kl is None else group | {"kl": self.kl.detach()}


class PolicyGradient:
    """Draws groups and scores them; no gradient runs through the rewards."""

    def __init__(self, recipe: Recipe, settings: PolicySettings) -> None:
        self._seed, self._settings = recipe.seed, settings
        self.roles: Mapping[str, Role] = {REFERENCE: Role()} if settings.kl_weight else {}

    def update(self, batch: PromptBatch, start: Start, context: StepContext) -> PolicyUpdate:
        """The update of one batch, a group for each row.

        Raises:
            UserError: a reward is not finite.
        """
        settings = self._settings
        groups = start.repeated(settings.group_size)
        chain = self._draw(batch, groups, context)
        prompts = [prompt for prompt in batch.prompts for _ in range(settings.group_size)]
        with torch.no_grad():
            rewards = score(chain.final, prompts, context)
        rewards = rewards.view(len(batch), settings.group_size)
        log_probs = torch.stack([gaussian_log_prob(step.drawn, step.mean, step.std) for step in chain.transitions])
        advantages = group_advantages(rewards).flatten()
        loss = clipped_policy_loss(log_probs, log_probs.detach(), advantages, settings.clip_range)
        if not settings.kl_weight:
            return PolicyUpdate(loss, rewards, None)
        kl = torch.stack([self._kl(step, groups, context) for step in chain.transitions]).mean(dim=0)
        return PolicyUpdate(loss + settings.kl_weight * kl.mean(), rewards, kl.view_as(rewards).mean(dim=1))

    def _draw(self, batch: PromptBatch, groups: Start, context: StepContext) -> StochasticRollout:
        # Fresh noise by name of step, row and member: the same whatever rank a row falls to.
        seeds = [
            derived_seed(self._seed, "transition", context.step, row, member)
            for row in batch.rows
            for member in range(self._settings.group_size)
        ]
        fresh = initial_noise(seeds, (groups.nfe - 1, *context.model.latent_shape)).to(groups.noise.device)
        with phase("student"):
            return stochastic_rollout(
                student_velocity(groups.embeds, context),
                groups.noise,
                groups.sigmas,
                fresh,
                kind=self._settings.transition,
                eta=self._settings.eta,
                checkpoint=context.recompute,
            )

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
    """The groups' mean reward, how far it spreads within one, and how far the student has left the reference."""
    return {name: float(samples[name].mean()) for name in ("reward_group", "reward_spread", "kl") if name in samples}
