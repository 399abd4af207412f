"""Which captions a scene makes true, and captions that are wrong in just one way."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from rats_train.world.grammar import Prompt
from rats_train.world.scene import Scene
from rats_train.world.vocabulary import BACKGROUNDS, COUNT_WORDS, NOUNS


def holds(prompt: Prompt, scene: Scene) -> bool:
    """Whether the scene is a right picture of the prompt."""
    if prompt.background not in (None, scene.background):
        return False
    drawn = Counter(noun for noun, _ in scene.placements)
    if not prompt.relation:
        return drawn == Counter({prompt.nouns[0]: prompt.count})
    if drawn != Counter(prompt.nouns):
        return False
    if prompt.relation == "and":
        return True
    place = {noun: (x, y) for noun, (x, y, _) in scene.placements}
    axis = 0 if prompt.relation == "left of" else 1
    return place[prompt.nouns[0]][axis] < place[prompt.nouns[1]][axis]


def swapped_objects(prompt: Prompt, _: Scene, __: random.Random) -> Prompt | None:
    """The two objects in each other's place, where the order is said."""
    if prompt.relation in (None, "and"):
        return None
    return replace(prompt, nouns=prompt.nouns[::-1])


def wrong_count(prompt: Prompt, _: Scene, rng: random.Random) -> Prompt | None:
    """Another number of the same thing."""
    if prompt.relation:
        return None
    return replace(prompt, count=rng.choice([n for n in (1, *COUNT_WORDS.values()) if n != prompt.count]))


def wrong_background(prompt: Prompt, scene: Scene, rng: random.Random) -> Prompt:
    """Another background than the scene's, said aloud."""
    return replace(prompt, background=rng.choice([name for name in BACKGROUNDS if name != scene.background]))


def wrong_object(prompt: Prompt, _: Scene, rng: random.Random) -> Prompt:
    """One thing replaced by another."""
    other = rng.choice([noun.singular for noun in NOUNS if noun.singular not in prompt.nouns])
    place = rng.randrange(len(prompt.nouns))
    return replace(prompt, nouns=tuple(other if i == place else noun for i, noun in enumerate(prompt.nouns)))


def other_relation(prompt: Prompt, _: Scene, __: random.Random) -> Prompt | None:
    """Above in place of left of, and the other way round."""
    if prompt.relation in (None, "and"):
        return None
    return replace(prompt, relation="above" if prompt.relation == "left of" else "left of")


Mistake = Callable[[Prompt, Scene, random.Random], Prompt | None]

MISTAKES: Final[dict[str, Mistake]] = {
    "swapped objects": swapped_objects,
    "wrong count": wrong_count,
    "wrong background": wrong_background,
    "wrong object": wrong_object,
    "other relation": other_relation,
}
