"""What the rewards that are trained on say of the teacher's results, from their stored latents."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.models.base import FlowModel
from rats_train.prompt_metadata import prompt_metadata
from rats_train.rewards.base import Extras
from rats_train.rewards.build import load_rewards


class EndpointScores:
    """The rewards of a recipe, and its teacher to decode with.

    Raises:
        UserError: a reward model is missing.
    """

    def __init__(self, recipe: Recipe, model: FlowModel) -> None:
        self._model = model
        rewards = load_rewards(recipe.rewards.train, recipe.rewards.wait_minutes * 60, prompt_metadata(recipe))
        self._rewards = [reward.to(model.device) for reward in rewards]

    @torch.no_grad()
    def score(self, final: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Raw scores[B] by reward name, in float32 on the CPU, of final[B, C, h, w].

        Raises:
            UserError: a reward is not finite.
        """
        final = final.to(self._model.device)
        images, extras = self._model.decode(final), Extras(final)
        return {reward.name: reward.score(images, prompts, extras).float().cpu() for reward in self._rewards}
