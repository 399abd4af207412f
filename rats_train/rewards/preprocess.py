"""Pictures as vision towers want them: the shorter side to one size, and the middle square.

All on tensors, so that gradient passes. A package that resizes 8-bit pictures does so across, then down, and behind
each it cuts the filter's overshoot and rounds to whole shades. Cutting is done here too where asked for; rounding has
no gradient and is left out, which moves a pixel by less than one and a half shades of 255.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


def square(images: Tensor, size: int, *, cut: bool) -> Tensor:
    """The middle [B, 3, size, size] of images[B, 3, H, W] whose shorter side is brought to ``size``.

    Args:
        images: in [0, 1].
        size: pixels.
        cut: whether the bicubic filter's overshoot is cut off, as it is where pictures are resized as bytes.
    """
    height, width = images.shape[-2:]
    short = min(height, width)
    if short != size:
        height, width = size * height // short, size * width // short
        images = _resized_as_bytes(images, height, width) if cut else _resized(images, height, width)
    top, left = round((height - size) / 2), round((width - size) / 2)
    return images[..., top : top + size, left : left + size]


def _resized_as_bytes(images: Tensor, height: int, width: int) -> Tensor:
    across = _resized(images, images.shape[-2], width).clamp(0, 1)
    return _resized(across, height, width).clamp(0, 1)


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, size=(height, width), mode="bicubic", antialias=True)


def enlarged(images: Tensor, size: int) -> Tensor:
    """Images[B, 3, H, W] whose shorter side has ``size`` pixels or more; larger ones as they are."""
    factor = size / min(images.shape[-2:])
    if factor <= 1:
        return images
    height, width = (round(side * factor) for side in images.shape[-2:])
    return F.interpolate(images, size=(height, width), mode="bicubic").clamp(0, 1)


def as_bytes(images: Tensor) -> NDArray[np.uint8]:
    """Images[B, 3, H, W] in [0, 1] as bytes[B, H, W, 3], for readers that know no tensors."""
    shades = (images.detach() * 255).round().clamp(0, 255).to(torch.uint8)
    pixels: NDArray[np.uint8] = shades.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels
