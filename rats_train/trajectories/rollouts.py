"""Teacher rollouts of one batch: the chain, what is kept of it, and the rewards of its images."""

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.devices import accelerator
from rats_train.prompt_metadata import prompt_metadata
from rats_train.rewards.base import Extras
from rats_train.rewards.build import load_rewards
from rats_train.sampling.guidance import conditioned
from rats_train.sampling.noise import initial_noise
from rats_train.sampling.rollout import rollout
from rats_train.sampling.schedule import teacher_sigmas
from rats_train.sampling.teacher import load_teacher
from rats_train.trajectories.prompts import PromptBatch


class TeacherRollouts:
    """The loaded teacher and training rewards of a recipe.

    Raises:
        UserError: a checkpoint is missing.
    """

    def __init__(self, recipe: Recipe, indices: list[int]) -> None:
        self._indices = indices
        self._guidance_scale = recipe.teacher.guidance_scale
        self._sigmas = teacher_sigmas(recipe)
        self._model = load_teacher(recipe).to(accelerator())
        rewards = load_rewards(recipe.rewards.train, recipe.rewards.wait_minutes * 60, prompt_metadata(recipe))
        self._rewards = [reward.to(accelerator()) for reward in rewards]

    @torch.no_grad()
    def draw(self, batch: PromptBatch) -> dict[str, Tensor]:
        """Seeds[B], x0[B, T, C, h, w] and final[B, C, h, w] in half precision, rewards[B, M]; all on the CPU.

        Raises:
            UserError: a reward is not finite.
        """
        model = self._model
        velocity = conditioned(model, model.encode_prompts(batch.prompts), self._guidance_scale)
        noise = initial_noise(batch.seeds, model.latent_shape).to(model.device)
        chain = rollout(velocity, noise, self._sigmas, keep_x0=self._indices)
        images, extras = model.decode(chain.final), Extras(chain.final)
        return {
            "seeds": torch.tensor(batch.seeds),
            "x0": torch.stack([chain.x0[index] for index in self._indices], dim=1).half().cpu(),
            "final": chain.final.half().cpu(),
            "rewards": torch.stack([reward.score(images, batch.prompts, extras) for reward in self._rewards], dim=1)
            .float()
            .cpu(),
        }
