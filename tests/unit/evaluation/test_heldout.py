"""The prompts of the watch: their own, fixed, and none that the evaluation judges by."""

import pytest

from rats_train.config import Recipe, load_recipe
from rats_train.errors import UserError
from rats_train.evaluation.heldout import (
    WATCHED,
    WATCHED_SEEDS,
    heldout_prompts,
    image_seeds,
    watch_prompts,
    watch_seeds,
    watched_budget,
)
from rats_train.world import grammar


def emoji(**values: object) -> Recipe:
    return load_recipe("emoji", [f"evaluation.{name}={value}" for name, value in values.items()])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [96, 512, 1200])
def test_watch_and_evaluation_share_neither_prompt_nor_seed(seed: int, count: int) -> None:
    recipe = emoji(count=count).model_copy(update={"seed": seed})
    watched = watch_prompts(recipe)
    assert len(watched) == len(set(watched)) == WATCHED
    assert set(watched).isdisjoint(heldout_prompts(recipe))
    assert set(watch_seeds(recipe, WATCHED)).isdisjoint(image_seeds(recipe))
    assert all(prompt is not None and prompt.is_heldout for prompt in map(grammar.parse, watched))


def test_the_watch_sees_counts_as_well_as_pairs() -> None:
    kinds = [prompt.relation is None for prompt in map(grammar.parse, watch_prompts(emoji())) if prompt]
    assert 6 <= sum(kinds) <= 20


def test_more_prompts_than_the_world_has_are_one_clear_line() -> None:
    with pytest.raises(UserError, match=r"^evaluation\.count is 5000, but the embedded world holds 1\d{3} different"):
        heldout_prompts(emoji(count=5000))


def test_judging_more_prompts_later_leaves_the_watch_as_it_was() -> None:
    assert watch_prompts(emoji(count=96)) == watch_prompts(emoji(count=512))
    assert watch_prompts(emoji(count=96)) != watch_prompts(emoji(count=96).model_copy(update={"seed": 2}))


def test_of_a_file_the_last_lines_are_watched(tmp_path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"{number} castles" for number in range(60)))
    recipe = emoji(prompts=path, count=20)
    assert watch_prompts(recipe) == [f"{number} castles" for number in range(28, 60)]
    recipe = emoji(prompts=path, count=50)
    assert watch_prompts(recipe) == [f"{number} castles" for number in range(50, 60)]
    assert set(watch_prompts(recipe)).isdisjoint(heldout_prompts(recipe))
    assert len(watch_seeds(recipe, 10)) == 10 * WATCHED_SEEDS


def test_a_file_that_the_evaluation_uses_up_is_one_clear_line(tmp_path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"{number} castles" for number in range(20)))
    with pytest.raises(UserError, match=r"^training\.watch_every needs 8 [^\n]*has 3 beyond [^\n]*watch_every=0\.$"):
        watch_prompts(emoji(prompts=path, count=17))


def test_the_middle_budget_is_watched() -> None:
    assert [watched_budget(steps) for steps in ([8, 3, 5], [3, 2], [4])] == [5, 2, 4]
