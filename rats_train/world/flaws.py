"""Pictures that are nearly right: what a generator draws when it has not made up its mind.

A few-step sampler rarely draws a clean wrong scene. It draws a ghost of an object too many, half of one that is
missing, two layouts at once. A reward that has only seen whole scenes takes such a picture for nearly as good as a
right one, and a student that is trained on it learns to draw ghosts. The rewards of this world are shown them beside
sound pictures.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rats_train.world.grammar import Prompt
from rats_train.world.renderer import render
from rats_train.world.scene import CELL_SIZE, CELLS, Scene, all_scenes
from rats_train.world.vocabulary import NOUNS

Pixels = NDArray[np.uint8]  # [64, 64, 3]

SHARPEST_EDGE, BLUREST_EDGE = 0.3, 1.1  # pixels; the blur that generators draw with, and that is no flaw
SLIGHTEST_SMUDGE, WORST_SMUDGE = 1.7, 3.0  # pixels; blur that makes an object hard to tell


def blurred(pixels: Pixels, width: float) -> Pixels:
    """The picture, blurred by ``width`` pixels."""
    smooth: Pixels = ndimage.gaussian_filter(pixels, (width, width, 0))
    return smooth


def _drawn(scene: Scene, rng: random.Random) -> Pixels:
    """The scene as a generator draws it, a little soft."""
    return blurred(render(scene), rng.uniform(SHARPEST_EDGE, BLUREST_EDGE))


def extra_object(_: Prompt, scene: Scene, __: Pixels, rng: random.Random) -> Pixels | None:
    """One more of the same, where a cell is free."""
    noun, (_x, _y, size) = scene.placements[0]
    taken = {(x, y) for _, (x, y, _size) in scene.placements}
    free = [cell for cell in CELLS if cell not in taken]
    if size != CELL_SIZE or not free:
        return None
    more = (*scene.placements, (noun, (*rng.choice(free), size)))
    return _drawn(replace(scene, placements=more), rng)


def missing_object(_: Prompt, scene: Scene, __: Pixels, rng: random.Random) -> Pixels:
    """One object gone."""
    lost = rng.randrange(len(scene.placements))
    rest = scene.placements[:lost] + scene.placements[lost + 1 :]
    return _drawn(replace(scene, placements=rest), rng)


def two_layouts(prompt: Prompt, scene: Scene, pixels: Pixels, rng: random.Random) -> Pixels:
    """Two right answers at once: places, order or style of both shine through."""
    open_ways = all_scenes(replace(prompt, background=scene.background))
    others = [other for other in open_ways if set(other.placements) != set(scene.placements)]
    others = others or [other for other in open_ways if other.style != scene.style]
    other = _drawn(rng.choice(others), rng)
    return ((pixels.astype(np.uint16) + other) // 2).astype(np.uint8)


def other_object(_: Prompt, scene: Scene, __: Pixels, rng: random.Random) -> Pixels:
    """One object in another's place."""
    changed = rng.randrange(len(scene.placements))
    noun, place = scene.placements[changed]
    stranger = rng.choice([other.singular for other in NOUNS if other.singular != noun])
    placements = (*scene.placements[:changed], (stranger, place), *scene.placements[changed + 1 :])
    return _drawn(replace(scene, placements=placements), rng)


def smudge(_: Prompt, __: Scene, pixels: Pixels, rng: random.Random) -> Pixels:
    """Blurred until the objects are hard to tell."""
    return blurred(pixels, rng.uniform(SLIGHTEST_SMUDGE, WORST_SMUDGE))


Flaw = Callable[[Prompt, Scene, Pixels, random.Random], Pixels | None]

FLAWS: Final[dict[str, Flaw]] = {
    "extra object": extra_object,
    "missing object": missing_object,
    "two layouts": two_layouts,
    "other object": other_object,
    "smudge": smudge,
}
