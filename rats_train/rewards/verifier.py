"""The embedded world's rule as a reward: is everything in the picture as the prompt says?"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rats_train.rewards.base import Extras, Reward, Traits
from rats_train.rewards.world_size import check_scene_size
from rats_train.world.verifier import verify


class VerifierReward(Reward):
    """1 where objects, count, relation and background are right, otherwise 0; also for prompts of another world.

    Raises:
        UserError: on scoring, pictures are not of the world's size.
    """

    traits = Traits(differentiable=False, low=0.0, high=1.0, usual_scale=0.4)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        check_scene_size(self.name, images)
        right = [verify(image, prompt).all_correct for image, prompt in zip(images, prompts, strict=True)]
        return torch.tensor(right, dtype=torch.float32, device=images.device)
