"""The words of EmojiScenes: nouns, styles, backgrounds, counts and relations."""

from typing import Final, NamedTuple


class Noun(NamedTuple):
    """A thing that can be drawn: its word, its plural, the article it takes."""

    singular: str
    plural: str
    article: str = "a"


NOUNS: Final[tuple[Noun, ...]] = (
    Noun("apple", "apples", "an"),
    Noun("banana", "bananas"),
    Noun("strawberry", "strawberries"),
    Noun("pizza", "pizzas"),
    Noun("doughnut", "doughnuts"),
    Noun("mushroom", "mushrooms"),
    Noun("sunflower", "sunflowers"),
    Noun("cactus", "cacti"),
    Noun("cat", "cats"),
    Noun("fox", "foxes"),
    Noun("frog", "frogs"),
    Noun("owl", "owls", "an"),
    Noun("penguin", "penguins"),
    Noun("turtle", "turtles"),
    Noun("octopus", "octopuses", "an"),
    Noun("rocket", "rockets"),
    Noun("car", "cars"),
    Noun("umbrella", "umbrellas", "an"),
    Noun("guitar", "guitars"),
    Noun("robot", "robots"),
)

STYLES: Final[tuple[str, ...]] = ("noto", "fluent")

BACKGROUNDS: Final[dict[str, tuple[int, int, int]]] = {
    "white": (255, 255, 255),
    "yellow": (255, 236, 150),
    "pink": (255, 192, 214),
    "green": (168, 232, 190),
    "blue": (150, 206, 255),
    "purple": (206, 188, 250),
}

COUNT_WORDS: Final[dict[str, int]] = {"two": 2, "three": 3, "four": 4}

RELATIONS: Final[tuple[str, ...]] = ("left of", "above", "and")
