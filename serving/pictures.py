"""Pixels to files, and the short memory from which pictures asked for as URLs are fetched."""

import io
import secrets
from collections import OrderedDict
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FRAMES_PER_SECOND = 16
"""Of videos; what Wan 2.1 is trained at."""
KEPT = 256
"""Pictures that can be fetched by URL; older ones are forgotten."""

# PNG at its fastest level and WebP without loss keep the very pixels; JPEG cannot.
_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {"compress_level": 1},
    "webp": {"lossless": True},
    "jpeg": {"quality": 95, "subsampling": 0},
}


def encode(pixels: NDArray[np.uint8], output_format: Literal["png", "webp", "jpeg"]) -> bytes:
    """The file of pixels uint8[H, W, 3], or of a video uint8[T, H, W, 3], which plays over and over.

    Raises:
        ValueError: a video as JPEG, which cannot move.
    """
    if pixels.ndim == 3:
        return _saved([Image.fromarray(pixels)], output_format, {})
    if output_format == "jpeg":
        raise ValueError("a JPEG holds one picture: ask for webp or png")
    frames = [Image.fromarray(frame) for frame in pixels]
    moving = {"save_all": True, "append_images": frames[1:], "duration": 1000 / FRAMES_PER_SECOND, "loop": 0}
    return _saved(frames, output_format, moving)


def _saved(frames: list[Image.Image], output_format: str, moving: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    frames[0].save(file, output_format, **_OPTIONS[output_format], **moving)
    return file.getvalue()


class RecentPictures:
    """The last `KEPT` encoded pictures under names that cannot be guessed."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, tuple[bytes, str]] = OrderedDict()

    def add(self, file: bytes, media_type: str) -> str:
        """Keep a file; returns its name."""
        name = secrets.token_urlsafe(16)
        self._files[name] = file, media_type
        while len(self._files) > KEPT:
            self._files.popitem(last=False)
        return name

    def get(self, name: str) -> tuple[bytes, str] | None:
        """The file called `name` and its media type, None if it was never kept or is forgotten."""
        return self._files.get(name)
