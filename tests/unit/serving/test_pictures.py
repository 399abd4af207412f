import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from serving.pictures import FRAMES_PER_SECOND, encode

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("output_format", ["png", "webp"])
def test_png_and_webp_keep_every_pixel(output_format):
    picture = Image.open(io.BytesIO(encode(PIXELS, output_format)))
    assert picture.format.lower() == output_format
    np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), PIXELS)


def test_jpeg_is_close():
    smooth = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], (48, 1, 3))
    picture = np.asarray(Image.open(io.BytesIO(encode(smooth, "jpeg"))))
    assert np.abs(picture.astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("output_format", ["png", "webp"])
def test_a_video_keeps_every_pixel_of_every_frame_and_plays_over_and_over(output_format):
    video = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)
    picture = Image.open(io.BytesIO(encode(video, output_format)))
    assert picture.n_frames == 5
    assert picture.info["loop"] == 0
    for number, frame in enumerate(ImageSequence.Iterator(picture)):
        np.testing.assert_array_equal(np.asarray(frame.convert("RGB")), video[number])
        assert frame.info["duration"] == pytest.approx(1000 / FRAMES_PER_SECOND, abs=1)


def test_a_video_is_no_jpeg():
    with pytest.raises(ValueError, match="ask for webp or png"):
        encode(PIXELS[None], "jpeg")


@pytest.mark.parametrize("output_format", ["png", "webp", "jpeg"])
def test_metadata_travels_along_and_changes_no_pixel(output_format):
    plain, told = (Image.open(io.BytesIO(encode(PIXELS, output_format, xmp))) for xmp in ("", "<x>owls</x>"))
    np.testing.assert_array_equal(np.asarray(told.convert("RGB")), np.asarray(plain.convert("RGB")))
    assert b"owls" in encode(PIXELS, output_format, "<x>owls</x>")
