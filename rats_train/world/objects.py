"""Objects of a scene, found without learning: what stands out from the border's colour, named after the art pack.

Two objects that touch are one blob at first. It is cut at its waist, and the cut stands if both parts resemble art, and
more so than the blob does.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from rats_train.world.renderer import render
from rats_train.world.scene import CELL_SIZE, SINGLE_SIZE, Scene
from rats_train.world.vocabulary import BACKGROUNDS, NOUNS, STYLES

Picture = NDArray[np.float32]  # [H, W, 3] in [0, 1]
Blob = NDArray[np.bool_]  # [H, W]: the pixels of one object, or of several that touch

BACKGROUND_TOLERANCE: Final = 0.12  # largest distance of a channel to the named colour
OBJECT_CONTRAST: Final = 0.14  # a pixel this far from the background belongs to an object
SMALLEST_OBJECT: Final = 60  # pixels; smaller specks are no objects
LIKENESS: Final = 0.45  # least correlation with a piece of art to count as that noun
LIKENESS_OF_A_PART: Final = 0.7  # least correlation of both parts with some art for a blob to be two objects
THUMBNAIL: Final = 20  # pixels at which objects and art are compared


@dataclass(frozen=True)
class Found:
    """One object of a picture: the noun it resembles (None: nothing known) and its centre in pixels."""

    noun: str | None
    x: float
    y: float


@dataclass(frozen=True)
class Art:
    """All art on one background: noun[N] of each piece, and its thumbnail[N, D]."""

    nouns: list[str]
    thumbnails: NDArray[np.float32]

    def likeness(self, picture: Picture, colour: NDArray[np.float32], blob: Blob) -> NDArray[np.float32]:
        """Correlation[N] of a blob with each piece."""
        alike: NDArray[np.float32] = self.thumbnails @ _thumbnail(picture, colour, blob)
        return alike


def find_objects(picture: Picture) -> tuple[str | None, list[Found]]:
    """The name of the background (None: none of ours) and the objects on it."""
    colour = _border_colour(picture)
    background = _background_name(colour)
    art = _gallery(background or "white")
    found = []
    for blob in _blobs(picture, colour):
        for part in _parts(picture, colour, blob, art):
            likeness = art.likeness(picture, colour, part)
            best = int(likeness.argmax())
            y, x = ((side.start + side.stop) / 2 for side in _box(part))
            found.append(Found(art.nouns[best] if likeness[best] > LIKENESS else None, x, y))
    return background, found


def _border_colour(picture: Picture) -> NDArray[np.float32]:
    border = np.concatenate([picture[:2].reshape(-1, 3), picture[-2:].reshape(-1, 3), picture[:, :2].reshape(-1, 3)])
    colour: NDArray[np.float32] = np.median(np.concatenate([border, picture[:, -2:].reshape(-1, 3)]), axis=0)
    return colour


def _background_name(colour: NDArray[np.float32]) -> str | None:
    distances = {name: np.abs(np.asarray(rgb) / 255.0 - colour).max() for name, rgb in BACKGROUNDS.items()}
    name = min(distances, key=lambda key: float(distances[key]))
    return name if distances[name] < BACKGROUND_TOLERANCE else None


def _blobs(picture: Picture, colour: NDArray[np.float32]) -> list[Blob]:
    mask = np.abs(picture - colour).max(axis=-1) > OBJECT_CONTRAST
    labels, count = ndimage.label(ndimage.binary_dilation(mask, iterations=2), structure=np.ones((3, 3)))
    blobs = [mask & (labels == label) for label in range(1, count + 1)]
    return [blob for blob in blobs if blob.sum() >= SMALLEST_OBJECT]


def _parts(picture: Picture, colour: NDArray[np.float32], blob: Blob, art: Art) -> list[Blob]:
    """The objects that a blob consists of: itself, if no cut makes two that resemble art more."""
    halves = _cut(blob)
    if min(half.sum() for half in halves) < SMALLEST_OBJECT:
        return [blob]
    whole, *parts = (art.likeness(picture, colour, piece).max() for piece in (blob, *halves))
    if min(parts) <= max(whole, LIKENESS_OF_A_PART):
        return [blob]
    return [part for half in halves for part in _parts(picture, colour, half, art)]


def _cut(blob: Blob) -> tuple[Blob, Blob]:
    """Two sides of a blob, cut across its longer side at the narrowest place of the middle half."""
    box = _box(blob)
    axis = int(np.argmax([side.stop - side.start for side in box]))
    quarter = (box[axis].stop - box[axis].start) // 4
    middle = np.arange(box[axis].start + quarter, box[axis].stop - quarter)
    waist = middle[blob.sum(axis=1 - axis)[middle].argmin()]
    before = np.moveaxis(np.indices(blob.shape), 0, -1)[..., axis] < waist
    return blob & before, blob & ~before


def _box(blob: Blob) -> tuple[slice, slice]:
    box: tuple[slice, slice] = ndimage.find_objects(blob.astype(np.uint8))[0]
    return box


def _thumbnail(picture: Picture, colour: NDArray[np.float32], blob: Blob) -> NDArray[np.float32]:
    """The blob's difference from the background, its soft edge included, on a square, as a unit vector."""
    soft = ndimage.binary_dilation(blob)
    crop = ((picture - colour) * soft[..., None])[_box(soft)]
    side = max(crop.shape[:2])
    top, left = (side - crop.shape[0]) // 2, (side - crop.shape[1]) // 2
    square = np.zeros((side, side, 3), dtype=np.float32)
    square[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    channels = [
        np.asarray(Image.fromarray(square[..., c]).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR))
        for c in range(3)
    ]
    vector = ndimage.gaussian_filter(np.stack(channels), (0, 0.7, 0.7)).ravel()
    unit: NDArray[np.float32] = vector / (np.linalg.norm(vector) + 1e-6)
    return unit


@cache
def _gallery(background: str) -> Art:
    nouns, thumbnails = [], []
    for noun in NOUNS:
        for style in STYLES:
            for size in (CELL_SIZE, SINGLE_SIZE):
                scene = render(Scene(style, background, ((noun.singular, (32, 32, size)),))) / np.float32(255.0)
                colour = _border_colour(scene)
                nouns.append(noun.singular)
                thumbnails.append(_thumbnail(scene, colour, max(_blobs(scene, colour), key=np.sum)))
    return Art(nouns, np.stack(thumbnails))
