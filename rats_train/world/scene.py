"""A scene and the layouts that it may have: what a prompt leaves unsaid is drawn at random here."""

import random
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Final

from rats_train.world.grammar import Prompt
from rats_train.world.vocabulary import BACKGROUNDS, STYLES

Placement = tuple[str, tuple[int, int, int]]  # noun, (centre x, centre y, size) in pixels

SINGLE_SIZE: Final = 44
PAIR_SIZE: Final = 28
CELL_SIZE: Final = 26
NEAR, MIDDLE, FAR = 16, 32, 48  # cell centres along one axis of the 64-pixel scene
CELLS: Final = ((NEAR, NEAR), (FAR, NEAR), (NEAR, FAR), (FAR, FAR))

_ACROSS: Final = ((NEAR, MIDDLE), (FAR, MIDDLE))
_DOWN: Final = ((MIDDLE, NEAR), (MIDDLE, FAR))


@dataclass(frozen=True)
class Scene:
    """Everything that the renderer needs to know."""

    style: str
    background: str
    placements: tuple[Placement, ...]


def _pair_layout(prompt: Prompt, rng: random.Random) -> tuple[Placement, ...]:
    first, second = prompt.nouns
    vertical = prompt.relation == "above"
    if prompt.relation == "and":
        vertical = rng.random() < 0.5
        if rng.random() < 0.5:
            first, second = second, first
    if vertical:
        return (first, (MIDDLE, NEAR, PAIR_SIZE)), (second, (MIDDLE, FAR, PAIR_SIZE))
    return (first, (NEAR, MIDDLE, PAIR_SIZE)), (second, (FAR, MIDDLE, PAIR_SIZE))


def sample_scene(prompt: Prompt, rng: random.Random) -> Scene:
    """Draw one of the scenes that the prompt describes: style, background, places and order may be open."""
    style = rng.choice(STYLES)
    background = prompt.background or rng.choice(list(BACKGROUNDS))
    noun = prompt.nouns[0]
    if len(prompt.nouns) == 2:
        placements = _pair_layout(prompt, rng)
    elif prompt.count == 1:
        placements = ((noun, (MIDDLE, MIDDLE, SINGLE_SIZE)),)
    else:
        placements = tuple((noun, (x, y, CELL_SIZE)) for x, y in rng.sample(CELLS, prompt.count))
    return Scene(style, background, placements)


def all_scenes(prompt: Prompt) -> list[Scene]:
    """Every scene that the prompt describes: those that `sample_scene` draws from."""
    backgrounds = [prompt.background] if prompt.background else list(BACKGROUNDS)
    return [Scene(style, ground, layout) for style in STYLES for ground in backgrounds for layout in _layouts(prompt)]


def _layouts(prompt: Prompt) -> list[tuple[Placement, ...]]:
    noun = prompt.nouns[0]
    if prompt.count > 1:
        return [tuple((noun, (x, y, CELL_SIZE)) for x, y in cells) for cells in combinations(CELLS, prompt.count)]
    if len(prompt.nouns) == 1:
        return [((noun, (MIDDLE, MIDDLE, SINGLE_SIZE)),)]
    # "left of" and "above" settle direction and order; "and" leaves both open.
    ways = {"left of": [_ACROSS], "above": [_DOWN], "and": [_ACROSS, _DOWN]}[prompt.relation or "and"]
    orders = list(permutations(prompt.nouns)) if prompt.relation == "and" else [prompt.nouns]
    return [
        tuple((noun, (x, y, PAIR_SIZE)) for noun, (x, y) in zip(order, way, strict=True))
        for way in ways
        for order in orders
    ]
