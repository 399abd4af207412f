"""The embedded world's rule as a reward: is everything in the picture as the prompt says?"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rats_train.errors import UserError
from rats_train.rewards.base import Extras, Reward, Traits
from rats_train.world.renderer import SCENE_SIZE
from rats_train.world.verifier import verify


class VerifierReward(Reward):
    """1 where objects, count, relation and background are right, otherwise 0; also for prompts of another world.

    Raises:
        UserError: on scoring, pictures are not of the world's size.
    """

    traits = Traits(differentiable=False, low=0.0, high=1.0, usual_scale=0.4)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        if images.shape[-2:] != (SCENE_SIZE, SCENE_SIZE):
            height, width = images.shape[-2:]
            raise UserError(
                f"Reward {self.name} knows the rules of {SCENE_SIZE} x {SCENE_SIZE} scenes, not of "
                f"{height} x {width} pictures: name a reward of another kind."
            )
        right = [verify(image, prompt).all_correct for image, prompt in zip(images, prompts, strict=True)]
        return torch.tensor(right, dtype=torch.float32, device=images.device)
