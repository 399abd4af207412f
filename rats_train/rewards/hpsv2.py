"""HPSv2 and HPSv2.1 (Wu et al. 2023): a ViT-H CLIP model taught which of two pictures of a prompt people prefer."""

from collections.abc import Sequence

from torch import Tensor

from rats_train.rewards.base import Extras, Traits
from rats_train.rewards.clip_features import ClipFeatures
from rats_train.rewards.preprocess import square


class Hpsv2Reward(ClipFeatures):
    """Cosine of image and text features, without CLIP's logit scale; in [-1, 1]. People read it times 100.

    Its folder is made from the released checkpoint by `rats_train.rewards.convert.hpsv2`.
    """

    traits = Traits(differentiable=True, low=-1.0, high=1.0, usual_scale=0.02, has_features=True, batch_size=64)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        return self._cosine(images, prompts)

    def _fitted(self, images: Tensor, size: int) -> Tensor:
        # Its package resizes the float tensor, so the filter's overshoot stays.
        return square(images, size, cut=False)
