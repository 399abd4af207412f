"""The prompt grammar: what is drawn can be read back, and held-out combinations never reach training."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rats_train.world.grammar import Prompt, heldout_prompts, parse, practice_prompts, train_prompts
from rats_train.world.vocabulary import BACKGROUNDS, COUNT_WORDS, NOUNS, RELATIONS

words = st.sampled_from([noun.singular for noun in NOUNS])
backgrounds = st.none() | st.sampled_from(list(BACKGROUNDS))


@given(words, words, st.sampled_from(RELATIONS), backgrounds)
def test_pairs_are_read_back(first: str, second: str, relation: str, background: str | None) -> None:
    prompt = Prompt((first, second), relation=relation, background=background)
    assert parse(str(prompt)) == (None if first == second else prompt)


@given(words, st.sampled_from([1, *COUNT_WORDS.values()]), backgrounds)
def test_counts_are_read_back(noun: str, count: int, background: str | None) -> None:
    prompt = Prompt((noun,), count=count, background=background)
    assert parse(str(prompt)) == prompt


def test_prompts_read_like_english() -> None:
    assert str(Prompt(("owl", "fox"), relation="above", background="blue")) == "an owl above a fox, blue background"
    assert str(Prompt(("cactus",), count=3)) == "three cacti"


def test_other_text_is_outside_the_grammar() -> None:
    for text in ("a zebra", "an fox", "five foxes", "a fox, brown background", "a fox above", "", "two fox"):
        assert parse(text) is None, text


def test_heldout_combinations_are_never_drawn_in_training() -> None:
    training = [prompt for prompt in map(parse, train_prompts(20_000, seed=0)) if prompt]
    assert len(training) == 20_000
    assert not any(prompt.is_heldout for prompt in training)
    heldout = [prompt for prompt in map(parse, heldout_prompts(1000, seed=0)) if prompt]
    assert len(set(heldout)) == 1000
    assert all(prompt.is_heldout for prompt in heldout)
    pairs = {frozenset(prompt.nouns) for prompt in heldout if prompt.relation}
    assert pairs.isdisjoint(frozenset(prompt.nouns) for prompt in training)


def test_practice_draws_each_form_alike_and_nothing_held_out() -> None:
    practice = [prompt for prompt in map(parse, practice_prompts(1200, seed=0)) if prompt]
    forms = Counter((prompt.count, prompt.relation) for prompt in practice)
    assert forms == {
        **{(count, None): 200 for count in COUNT_WORDS.values()},
        **{(1, relation): 200 for relation in RELATIONS},
    }
    assert not any(prompt.is_heldout for prompt in practice)
    assert 0.46 < sum(prompt.background is not None for prompt in practice) / 1200 < 0.54


def test_heldout_prompts_hold_no_word_that_training_does_not() -> None:
    known = {word for prompt in train_prompts(20_000, seed=0) for word in prompt.replace(",", "").split()}
    for prompt in heldout_prompts(1000, seed=0):
        assert known.issuperset(prompt.replace(",", "").split()), prompt


def test_swapping_the_nouns_keeps_the_side_of_the_split() -> None:
    for prompt in filter(None, map(parse, heldout_prompts(200, seed=1))):
        assert Prompt(prompt.nouns[::-1], prompt.count, prompt.relation).is_heldout


def test_half_of_the_prompts_leave_the_background_unsaid() -> None:
    share = sum("background" in prompt for prompt in train_prompts(4000, seed=2)) / 4000
    assert 0.46 < share < 0.54


def test_prompts_are_a_function_of_the_seed() -> None:
    assert train_prompts(50, 7) == train_prompts(50, 7) != train_prompts(50, 8)
    assert practice_prompts(50, 7) == practice_prompts(100, 7)[:50] != practice_prompts(50, 8)
    assert heldout_prompts(50, 7) == heldout_prompts(100, 7)[:50]
