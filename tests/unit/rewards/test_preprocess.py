"""Resizing on tensors against the 8-bit resizing of the packages that do it on pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from rats_train.rewards.preprocess import as_bytes, enlarged, square

SHAPES = [(64, 64), (50, 80), (91, 60), (20, 30)]


def pictures(height: int, width: int) -> np.ndarray:
    # Pure black and white beside each other: the filter overshoots most.
    return np.random.default_rng(0).integers(0, 2, (height, width, 3), dtype=np.uint8) * 255


def by_pillow(picture: np.ndarray, size: int) -> torch.Tensor:
    height, width = picture.shape[:2]
    short = min(height, width)
    resized = Image.fromarray(picture).resize((size * width // short, size * height // short), Image.Resampling.BICUBIC)
    left, top = round((resized.width - size) / 2), round((resized.height - size) / 2)
    cropped = resized.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.array(cropped)).permute(2, 0, 1) / 255


@pytest.mark.parametrize("shape", SHAPES)
def test_cut_resizing_is_pillows_up_to_its_rounding(shape: tuple[int, int]) -> None:
    picture = pictures(*shape)
    ours = square(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255, 32, cut=True)
    assert ours.shape == (1, 3, 32, 32)
    # It rounds behind each of its two passes: half a shade each, and the second widens that of the first a little.
    assert (ours[0] - by_pillow(picture, 32)).abs().max() * 255 <= 1.5


@pytest.mark.parametrize("shape", SHAPES)
def test_uncut_resizing_keeps_the_overshoot(shape: tuple[int, int]) -> None:
    images = torch.from_numpy(pictures(*shape)).permute(2, 0, 1)[None] / 255
    uncut = square(images, 32, cut=False)
    assert uncut.max() > 1.01
    assert square(images, 32, cut=True).max() == 1
    assert (uncut - square(images, 32, cut=True)).abs().max() * 255 > 10


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(square(images, 32, cut=True), images)


def test_small_pictures_are_enlarged_and_large_ones_are_not() -> None:
    assert enlarged(torch.rand(1, 3, 32, 64), 128).shape == (1, 3, 128, 256)
    images = torch.rand(1, 3, 200, 128)
    assert torch.equal(enlarged(images, 128), images)


def test_bytes_are_rounded_to_the_nearest_shade() -> None:
    shades = as_bytes(torch.tensor([0.0, 0.499, 0.501, 1.004]).view(1, 1, 1, 4).expand(1, 3, 1, 4) / 1.0)
    assert shades.shape == (1, 1, 4, 3)
    assert shades[0, 0, :, 0].tolist() == [0, 127, 128, 255]
