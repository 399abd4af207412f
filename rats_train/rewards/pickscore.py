"""PickScore (Kirstain et al. 2023): a ViT-H CLIP model taught on choices that people made between pictures."""

from collections.abc import Sequence

from torch import Tensor

from rats_train.rewards.base import Extras, Traits
from rats_train.rewards.clip_features import ClipFeatures
from rats_train.rewards.preprocess import square


class PickScoreReward(ClipFeatures):
    """Logit scale times the cosine of image and text features (equation 1 of the paper, before its softmax)."""

    # CLIP's logit scale is held at 100 or less.
    traits = Traits(differentiable=True, low=-100.0, high=100.0, usual_scale=1.5, has_features=True, batch_size=64)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        scale: Tensor = self._model.logit_scale.exp()
        return scale * self._cosine(images, prompts)

    def _fitted(self, images: Tensor, size: int) -> Tensor:
        return square(images, size, cut=True)
