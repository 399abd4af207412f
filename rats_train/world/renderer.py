"""Draw EmojiScenes: place art on a plain background in a tight layout."""

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rats_train.world.scene import Scene
from rats_train.world.vocabulary import BACKGROUNDS

ART_DIR: Final = Path(__file__).parent / "art"
ART_SIZE: Final = 96  # pixels kept in the art pack
SCENE_SIZE: Final = 64  # pixels of a scene


@cache
def sprite(noun: str, style: str, size: int) -> NDArray[np.float32]:
    """Premultiplied RGBA picture of a noun, ``[size, size, 4]`` in [0, 1]."""
    with Image.open(ART_DIR / style / f"{noun}.png") as art:
        rgba = np.asarray(art.convert("RGBA"), dtype=np.float32) / 255.0
    rgba[..., :3] *= rgba[..., 3:]
    channels = [np.asarray(Image.fromarray(rgba[..., c]).resize((size, size), Image.Resampling.BOX)) for c in range(4)]
    picture: NDArray[np.float32] = np.stack(channels, axis=-1).clip(0.0, 1.0)
    return picture


def render(scene: Scene) -> NDArray[np.uint8]:
    """Draw a scene, ``[64, 64, 3]`` uint8 RGB."""
    canvas = np.empty((SCENE_SIZE, SCENE_SIZE, 3), dtype=np.float32)
    canvas[:] = np.asarray(BACKGROUNDS[scene.background], dtype=np.float32) / 255.0
    for noun, (x, y, size) in scene.placements:
        picture = sprite(noun, scene.style, size)
        left, top = x - size // 2, y - size // 2
        patch = canvas[top : top + size, left : left + size]
        patch *= 1.0 - picture[..., 3:]
        patch += picture[..., :3]
    return (canvas * 255.0 + 0.5).astype(np.uint8)
