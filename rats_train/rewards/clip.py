"""Any CLIP-type reward: how well a picture and its prompt agree in a shared feature space."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from rats_train.rewards.base import Extras, Traits
from rats_train.rewards.clip_features import ClipFeatures


class ClipReward(ClipFeatures):
    """Cosine of image and text features; in [-1, 1]. A picture that is not square is squeezed into one."""

    traits = Traits(differentiable=True, low=-1.0, high=1.0, has_features=True)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        return self._cosine(images, prompts)

    def _fitted(self, images: Tensor, size: int) -> Tensor:
        if images.shape[-2:] == (size, size):
            return images
        return F.interpolate(images, size=(size, size), mode="bicubic", antialias=True)
