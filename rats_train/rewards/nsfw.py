"""A guard: how surely a picture is fit to be seen at work, by Yahoo's Open NSFW network."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from rats_train.recipe_rewards import Statistics
from rats_train.rewards.base import Extras, Reward, Traits
from rats_train.rewards.extras import import_extra
from rats_train.rewards.preprocess import as_bytes


class NsfwReward(Reward):
    """Probability in [0, 1] that a picture is safe; the weights come with the package. Runs on the CPU.

    Its makers took .8 and more for safe, and .2 and less for unsafe.

    Raises:
        UserError: the optional dependencies ``nsfw`` are missing.
    """

    traits = Traits(
        differentiable=False, low=0.0, high=1.0, usual_scale=0.1, inputs=frozenset({"image"}), batch_size=64
    )

    def __init__(self, name: str, weight: float = 1.0, statistics: Statistics | None = None) -> None:
        super().__init__(name, weight, statistics)
        self._classifier = import_extra("nsfw", name).Classifier()

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        unsafe = self._classifier.score_images([Image.fromarray(picture) for picture in as_bytes(images)])
        return 1 - torch.from_numpy(unsafe).to(images)
