"""Pixels to files."""

import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

FRAMES_PER_SECOND = 16
"""Of videos; what Wan 2.1 is trained at."""

# PNG at its fastest level and WebP without loss keep the very pixels; JPEG cannot.
_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 1},
    "webp": {"lossless": True},
    "jpeg": {"quality": 95, "subsampling": 0},
}


def encode(pixels: NDArray[np.uint8], output_format: Literal["png", "webp", "jpeg"], xmp: str = "") -> bytes:
    """The file of pixels uint8[H, W, 3], or of a video uint8[T, H, W, 3], which plays over and over.

    Args:
        pixels: what it shows.
        output_format: its kind.
        xmp: metadata that it carries, an XMP packet.

    Raises:
        ValueError: a video as JPEG, which cannot move.
    """
    if pixels.ndim == 3:
        return _saved([Image.fromarray(pixels)], output_format, _metadata(output_format, xmp))
    if output_format == "jpeg":
        raise ValueError("a JPEG holds one picture: ask for webp or png")
    frames = [Image.fromarray(frame) for frame in pixels]
    moving = {"save_all": True, "append_images": frames[1:], "duration": 1000 / FRAMES_PER_SECOND, "loop": 0}
    return _saved(frames, output_format, {**moving, **_metadata(output_format, xmp)})


def _metadata(output_format: str, xmp: str) -> dict[str, Any]:
    if not xmp:
        return {}
    if output_format != "png":
        return {"xmp": xmp.encode()}
    chunks = PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", xmp)
    return {"pnginfo": chunks}


def _saved(frames: list[Image.Image], output_format: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    frames[0].save(file, output_format, **_OPTIONS[output_format], **options)
    return file.getvalue()
