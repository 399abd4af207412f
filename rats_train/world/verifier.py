"""A rule that judges a scene: which of objects, count, relation and background are as the prompt says.

No learning: the background is the border's colour, objects are what stands out from it, and each object is the piece
of the art pack that it resembles most. ``python -m rats_train.world.verifier`` prints the rule's own ceiling on real
scenes, clean and degraded: no picture can be expected to score higher.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from rats_train.world.grammar import Prompt, heldout_prompts, parse
from rats_train.world.renderer import render
from rats_train.world.scene import CELL_SIZE, SINGLE_SIZE, Scene, sample_scene
from rats_train.world.vocabulary import BACKGROUNDS, NOUNS, STYLES

Picture = NDArray[np.float32]  # [H, W, 3] in [0, 1]

BACKGROUND_TOLERANCE: Final = 0.12  # largest distance of a channel to the named colour
OBJECT_CONTRAST: Final = 0.14  # a pixel this far from the background belongs to an object
SMALLEST_OBJECT: Final = 60  # pixels; smaller specks are no objects
LIKENESS: Final = 0.45  # least correlation with a piece of art to count as that noun
THUMBNAIL: Final = 20  # pixels at which objects and art are compared


@dataclass(frozen=True)
class Verdict:
    """What is right in a picture. Whatever the prompt leaves unsaid is right."""

    objects: bool
    count: bool
    relation: bool
    background: bool

    @property
    def all_correct(self) -> bool:
        """Whether nothing is wrong."""
        return self.objects and self.count and self.relation and self.background


@dataclass(frozen=True)
class Found:
    """One object of a picture: the noun it resembles (None: nothing known) and its centre in pixels."""

    noun: str | None
    x: float
    y: float


def _border_colour(picture: Picture) -> NDArray[np.float32]:
    border = np.concatenate([picture[:2].reshape(-1, 3), picture[-2:].reshape(-1, 3), picture[:, :2].reshape(-1, 3)])
    colour: NDArray[np.float32] = np.median(np.concatenate([border, picture[:, -2:].reshape(-1, 3)]), axis=0)
    return colour


def _background_name(colour: NDArray[np.float32]) -> str | None:
    distances = {name: np.abs(np.asarray(rgb) / 255.0 - colour).max() for name, rgb in BACKGROUNDS.items()}
    name = min(distances, key=lambda key: float(distances[key]))
    return name if distances[name] < BACKGROUND_TOLERANCE else None


def _object_boxes(picture: Picture, colour: NDArray[np.float32]) -> list[tuple[slice, slice]]:
    mask = np.abs(picture - colour).max(axis=-1) > OBJECT_CONTRAST
    labels, _ = ndimage.label(ndimage.binary_dilation(mask), structure=np.ones((3, 3)))
    sizes = ndimage.sum_labels(mask, labels, np.arange(1, labels.max() + 1))
    boxes = ndimage.find_objects(labels)
    return [box for box, size in zip(boxes, sizes, strict=True) if size >= SMALLEST_OBJECT]


def _thumbnail(picture: Picture, colour: NDArray[np.float32], box: tuple[slice, slice]) -> NDArray[np.float32]:
    """The object's difference from the background, on a square, as a unit vector."""
    crop = picture[box] - colour
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
def _gallery(background: str) -> tuple[list[str], NDArray[np.float32]]:
    """All art on one background: noun of each row, and its thumbnail."""
    nouns, rows = [], []
    for noun in NOUNS:
        for style in STYLES:
            for size in (CELL_SIZE, SINGLE_SIZE):
                scene = render(Scene(style, background, ((noun.singular, (32, 32, size)),))) / np.float32(255.0)
                colour = _border_colour(scene)
                box = max(
                    _object_boxes(scene, colour), key=lambda b: (b[0].stop - b[0].start) * (b[1].stop - b[1].start)
                )
                nouns.append(noun.singular)
                rows.append(_thumbnail(scene, colour, box))
    return nouns, np.stack(rows)


def find_objects(picture: Picture) -> tuple[str | None, list[Found]]:
    """The name of the background (None: none of ours) and the objects on it."""
    colour = _border_colour(picture)
    background = _background_name(colour)
    nouns, gallery = _gallery(background or "white")
    found = []
    for box in _object_boxes(picture, colour):
        likeness = gallery @ _thumbnail(picture, colour, box)
        best = int(likeness.argmax())
        centre = [(side.start + side.stop) / 2 for side in box]
        found.append(Found(nouns[best] if likeness[best] > LIKENESS else None, x=centre[1], y=centre[0]))
    return background, found


def _relation_holds(prompt: Prompt, found: list[Found]) -> bool:
    if prompt.relation in (None, "and"):
        return True
    by_noun = {item.noun: item for item in found}
    if not all(noun in by_noun for noun in prompt.nouns):
        return False
    first, second = (by_noun[noun] for noun in prompt.nouns)
    right, down = second.x - first.x, second.y - first.y
    return right > abs(down) if prompt.relation == "left of" else down > abs(right)


def judge(picture: Picture, prompt: Prompt) -> Verdict:
    """Judge a picture ``[H, W, 3]`` in [0, 1] against a parsed prompt."""
    background, found = find_objects(picture)
    wanted = len(prompt.nouns) if prompt.relation else prompt.count
    return Verdict(
        objects={item.noun for item in found} == set(prompt.nouns),
        count=len(found) == wanted,
        relation=_relation_holds(prompt, found),
        background=background == prompt.background if prompt.background else background is not None,
    )


def verify(image: Tensor, prompt: str) -> Verdict:
    """Judge an image ``[3, 64, 64]`` in [0, 1]; a prompt outside the grammar is never right."""
    parsed = parse(prompt)
    if parsed is None:
        return Verdict(objects=False, count=False, relation=False, background=False)
    return judge(image.detach().float().permute(1, 2, 0).cpu().numpy(), parsed)


DEGRADATIONS: Final[dict[str, Callable[[Picture, np.random.Generator], Picture]]] = {
    "clean": lambda picture, _: picture,
    "blur 0.8 px": lambda picture, _: ndimage.gaussian_filter(picture, (0.8, 0.8, 0)),
    "noise 0.03": lambda picture, rng: (picture + rng.normal(0, 0.03, picture.shape)).clip(0, 1).astype(np.float32),
}


def ceiling(count: int, seed: int) -> dict[str, float]:
    """Share of real held-out scenes judged all-correct, for each degradation."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    prompts = [prompt for prompt in map(parse, heldout_prompts(count, seed)) if prompt]
    scenes = [render(sample_scene(prompt, rng)).astype(np.float32) / np.float32(255.0) for prompt in prompts]
    return {
        name: float(np.mean([judge(f(s, noise), p).all_correct for s, p in zip(scenes, prompts, strict=True)]))
        for name, f in DEGRADATIONS.items()
    }


if __name__ == "__main__":
    for degradation, share in ceiling(400, seed=0).items():
        print(f"{degradation:12} {share:.3f} all-correct on 400 real held-out scenes")  # noqa: T201
