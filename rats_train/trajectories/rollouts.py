"""Teacher rollouts of one batch: the chain, and what is kept of it."""

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.models.base import FlowModel
from rats_train.sampling.guidance import conditioned
from rats_train.sampling.noise import initial_noise
from rats_train.sampling.rollout import rollout
from rats_train.sampling.schedule import teacher_sigmas
from rats_train.trajectories.prompts import PromptBatch


class TeacherRollouts:
    """The teacher of a recipe, to be drawn with; ``indices`` are the evaluations whose predictions are kept."""

    def __init__(self, recipe: Recipe, model: FlowModel, indices: list[int]) -> None:
        self._indices = indices
        self._guidance_scale = recipe.teacher.guidance_scale
        self._sigmas = teacher_sigmas(recipe)
        self._model = model

    @torch.no_grad()
    def draw(self, batch: PromptBatch) -> dict[str, Tensor]:
        """Seeds[B], x0[B, T, C, h, w] in half precision, and final[B, C, h, w] as it is decoded; all on the CPU."""
        model = self._model
        velocity = conditioned(model, model.encode_prompts(batch.prompts), self._guidance_scale)
        noise = initial_noise(batch.seeds, model.latent_shape).to(model.device)
        chain = rollout(velocity, noise, self._sigmas, keep_x0=self._indices)
        return {
            "seeds": torch.tensor(batch.seeds),
            "x0": torch.stack([chain.x0[index] for index in self._indices], dim=1).half().cpu(),
            "final": chain.final.cpu(),
        }
