import pytest

from serving.package.hints import PromptHints

HINTS = PromptHints.from_prompts(["two owls", "a fox above a frog", "two owls"])


def test_words_and_examples_come_from_the_training_prompts():
    assert HINTS.vocabulary == ["a", "above", "fox", "frog", "owls", "two"]
    assert HINTS.examples == ["two owls", "a fox above a frog"]


@pytest.mark.parametrize("prompt", ["two owls", "A Fox, above two owls!"])
def test_a_prompt_of_known_words_needs_no_note(prompt):
    assert HINTS.note(prompt) is None


def test_the_note_names_the_new_words_once_and_a_prompt_to_try():
    note = HINTS.note("two dragons above a castle, dragons")
    assert "'dragons', 'castle'" in note
    assert note.count("dragons") == 1
    assert "'two owls'" in note


@pytest.mark.parametrize("prompt", ["fox two owls", "", "!?"])
def test_known_words_in_a_new_sentence_get_a_note_where_there_is_a_pattern(prompt):
    pattern = "two owls|a (fox|frog) above a (fox|frog)"
    assert HINTS.note(prompt) is None
    strict = PromptHints.from_prompts(HINTS.examples, pattern)
    assert "such sentences" in strict.note(prompt)
    assert strict.note(" A frog above a fox ") is None


def test_a_student_of_ordinary_language_never_notes():
    hints = PromptHints.from_prompts([f"word{i}" for i in range(501)])
    assert hints.vocabulary == []
    assert hints.note("anything at all") is None


def test_without_prompts_any_word_is_fine():
    assert PromptHints.from_prompts([]).note("anything") is None
