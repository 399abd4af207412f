"""The reward of a batch's prompts from noise that no other step draws.

A gate compares two pictures from one noise, so shaping has the noises that the teacher has drawn, and a student learns
those of a store by heart. The reward needs no teacher: it can be raised from noise without end. This is ours; the
paper's teacher draws anew in every step.
"""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from rats_train.config import RatsMethod, Recipe, RewardOnlyMethod
from rats_train.methods.base import StepContext
from rats_train.methods.scoring import score
from rats_train.methods.start import Start, student_rollout
from rats_train.sampling.noise import initial_noise
from rats_train.seeds import derived_seed
from rats_train.trajectories.prompts import PromptBatch


def fresh_rewards(
    recipe: Recipe, settings: RatsMethod | RewardOnlyMethod, batch: PromptBatch, start: Start, context: StepContext
) -> Tensor:
    """Rewards[B, fresh_noises] of the prompts and the budget of ``start``, with gradient.

    Raises:
        UserError: a reward is not finite.
    """
    times, step = settings.fresh_noises, context.step
    if not times:
        return start.noise.new_empty(len(batch), 0)
    seeds = [derived_seed(recipe.seed, "fresh", step, row, time) for row in batch.rows for time in range(times)]
    noise = initial_noise(seeds, tuple(start.noise.shape[1:])).to(start.noise.device)
    chain = student_rollout(replace(start.repeated(times), noise=noise), context, settings.backprop_steps)
    prompts = [prompt for prompt in batch.prompts for _ in range(times)]
    return score(chain.final, prompts, context).view(len(batch), times)


def fresh_samples(rewards: Tensor) -> dict[str, Tensor]:
    """What is recorded of rewards[B, fresh_noises]: the mean[B]; nothing where there are none."""
    return {"reward_fresh": rewards.detach().mean(dim=1)} if rewards.shape[1] else {}


def summarise_rewards(samples: Mapping[str, Tensor], times: int) -> dict[str, float]:
    """The reward's part of the loss, over all noises, and the mean of the fresh ones."""
    own = float(samples["reward_student"].mean())
    if not times:
        return {"reward_loss": -own}
    fresh = float(samples["reward_fresh"].mean())
    return {"reward_loss": -(own + times * fresh) / (1 + times), "reward_fresh": fresh}
