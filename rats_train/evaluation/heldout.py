"""Which prompts and seeds judge a student: those of the evaluation, and others to watch it by while it trains.

The two share nothing. Whoever picks the best checkpoint by the prompts that later decide on promotion has tuned the
student on its own examination.
"""

from collections.abc import Sequence

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.prompt_file import read_tagged_prompts
from rats_train.prompt_formats import TaggedPrompt, take_turns
from rats_train.seeds import derived_seed
from rats_train.world import grammar

WATCHED = 32
"""Prompts of the watch: enough to tell a step of 0.02 in reward from noise, and about one training step to draw."""
WATCHED_SEEDS = 2
"""Images a prompt: the fewest that have a diversity."""
_FEWEST = 8


def heldout_prompts(recipe: Recipe) -> list[str]:
    """The prompts to judge on, each once.

    Raises:
        UserError: as `tagged_heldout_prompts`.
    """
    return [prompt.text for prompt in tagged_heldout_prompts(recipe)]


def tagged_heldout_prompts(recipe: Recipe) -> list[TaggedPrompt]:
    """The prompts to judge on, each once, with their categories; those of a file take turns category by category.

    Raises:
        UserError: the prompt file is missing, or there are fewer different prompts than ``evaluation.count``.
    """
    wanted, source = recipe.evaluation.count, recipe.evaluation.prompts
    prompts = _embedded(recipe) if source == "embedded" else _different(source)
    if len(prompts) < wanted:
        named = "the embedded world" if source == "embedded" else source
        raise UserError(
            f"evaluation.count is {wanted}, but {named} holds {len(prompts)} different prompts; set it to that."
        )
    return prompts[:wanted]


def _embedded(recipe: Recipe) -> list[TaggedPrompt]:
    """Prompts of the world; their category is their form."""
    texts = grammar.heldout_prompts(recipe.evaluation.count, recipe.seed)
    return [TaggedPrompt(text, {"category": grammar.form(text)}) for text in texts]


def image_seeds(recipe: Recipe) -> list[int]:
    """One seed an image, prompt by prompt, the same for every arm."""
    count = recipe.evaluation.count * recipe.evaluation.images_per_prompt
    return [derived_seed(recipe.seed, "evaluation", row) for row in range(count)]


def watch_prompts(recipe: Recipe) -> list[str]:
    """The prompts to watch training by, each once; none of them is in `heldout_prompts`.

    Embedded ones are a part of the held-out side that no evaluation draws from, whatever its seed. Of a prompt file
    they are the last lines, which the evaluation reaches last.

    Raises:
        UserError: the prompt file is missing, or holds too few lines beside those of the evaluation.
    """
    judged, source = recipe.evaluation.count, recipe.evaluation.prompts
    if source == "embedded":
        return grammar.watched_prompts(WATCHED, recipe.seed)
    left = [prompt.text for prompt in _different(source)[judged:]]
    if len(left) < _FEWEST:
        raise UserError(
            f"training.watch_every needs {_FEWEST} held-out prompts that the evaluation leaves, and {source} has "
            f"{len(left)} beyond evaluation.count {judged}: add lines, judge fewer, or set training.watch_every=0."
        )
    return left[-WATCHED:]


def watch_seeds(recipe: Recipe, prompts: int) -> list[int]:
    """`WATCHED_SEEDS` seeds for each of ``prompts`` prompts, of another stream than `image_seeds`."""
    return [derived_seed(recipe.seed, "watch", row) for row in range(prompts * WATCHED_SEEDS)]


def watched_budget(steps: Sequence[int]) -> int:
    """The middle budget, the lower of two: one stands for all, at a middle price."""
    return sorted(steps)[(len(steps) - 1) // 2]


def _different(source: str) -> list[TaggedPrompt]:
    return take_turns(read_tagged_prompts(source, "evaluation.prompts"))
