"""The embedded world's own pictures as a reward: how near does this one come to a scene that the prompt describes?"""

from collections.abc import Sequence

from torch import Tensor

from rats_train.rewards.base import Extras, Reward, Traits
from rats_train.rewards.world_size import check_scene_size
from rats_train.world.likeness import scene_likeness


class LikenessReward(Reward):
    """Peak signal-to-noise ratio in dB against the nearest real scene; 0 also for prompts of another world.

    It offers no gradient: that would tell a student the pixels of the answer.

    Raises:
        UserError: on scoring, pictures are not of the world's size.
    """

    traits = Traits(differentiable=False, low=0.0, high=60.0, usual_scale=3.0)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        check_scene_size(self.name, images)
        return scene_likeness(images.detach(), prompts)
