"""Prompts from the files of benchmarks: read as they are published, with their categories."""

import json

import pytest

from rats_train.config import load_recipe
from rats_train.errors import UserError
from rats_train.evaluation.heldout import tagged_heldout_prompts
from rats_train.prompt_file import read_prompts, read_tagged_prompts
from rats_train.prompt_formats import TaggedPrompt, take_turns

PARTI = (
    "Prompt\tCategory\tChallenge\tNote\n"
    "bond\tAbstract\tBasic\tBiology-inspired concepts\n"
    'a sign that says "Deep Learning"\tWorld Knowledge\tWriting & Symbols\t\n'
    "\tAbstract\tBasic\t\n"
)
DRAWBENCH = 'Prompts,Category\nA red colored car.,Colors\n"A black apple, and a green backpack.",Colors\n'
GENEVAL = "\n".join(
    json.dumps(row)
    for row in (
        {"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a photo of a bench"},
        {"tag": "counting", "include": [{"class": "clock", "count": 2}], "prompt": "a photo of two clocks"},
    )
)


@pytest.fixture
def read(tmp_path):
    def of(name, text):
        (tmp_path / name).write_text(text)
        return read_tagged_prompts(str(tmp_path / name), "evaluation.prompts")

    return of


def test_partiprompts_keep_category_and_challenge_and_their_quotes(read):
    first, second = read("PartiPrompts.tsv", PARTI)
    assert (first.text, first.tags) == ("bond", {"category": "Abstract", "challenge": "Basic"})
    assert first.metadata["Note"] == "Biology-inspired concepts"
    assert second.text == 'a sign that says "Deep Learning"'
    assert second.tags == {"category": "World Knowledge", "challenge": "Writing & Symbols"}


def test_drawbench_keeps_category_and_commas_within_quotes(read):
    found = read("DrawBench.csv", "\ufeff" + DRAWBENCH)
    assert [(prompt.text, prompt.tags) for prompt in found] == [
        ("A red colored car.", {"category": "Colors"}),
        ("A black apple, and a green backpack.", {"category": "Colors"}),
    ]


def test_geneval_keeps_its_tag_as_category(read):
    found = read("evaluation_metadata.jsonl", GENEVAL + "\n\n")
    assert [(prompt.text, prompt.tags["category"]) for prompt in found] == [
        ("a photo of a bench", "single_object"),
        ("a photo of two clocks", "counting"),
    ]
    assert found[1].metadata["include"] == [{"class": "clock", "count": 2}]


def test_plain_text_has_no_categories_whatever_its_name(read, tmp_path):
    assert read("own.txt", "an owl, blue\n\n  a fox \n") == [TaggedPrompt("an owl, blue"), TaggedPrompt("a fox")]
    assert read_prompts(str(tmp_path / "own.txt"), "trajectories.prompts") == ["an owl, blue", "a fox"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.tsv", "a fox\nan owl\n", "has no column Prompt: .* read as PartiPrompts"),
        ("a.csv", "Prompts,Kind\na fox,animal\n", "has no column Category: .* read as DrawBench"),
        ("a.jsonl", '{"prompt": "a fox"}\n', "line 1, is no row of GenEval"),
        ("a.jsonl", GENEVAL + "\nnot json\n", "line 3, is no row of GenEval"),
        ("a.tsv", "Prompt\tCategory\tChallenge\n", "holds no prompt"),
    ],
)
def test_a_file_of_another_format_is_one_clear_line(read, name, text, said):
    with pytest.raises(UserError, match=rf"^evaluation\.prompts: [^\n]*{said}[^\n]*$"):
        read(name, text)


def test_categories_take_turns_and_each_prompt_comes_once():
    rows = [("a", "1"), ("b", "1"), ("c", "1"), ("a", "2"), ("d", "2"), ("e", "3")]
    turns = take_turns([TaggedPrompt(text, {"category": category}) for text, category in rows])
    assert [prompt.text for prompt in turns] == ["a", "d", "e", "b", "c"]


def test_few_prompts_of_a_benchmark_are_of_every_category(tmp_path):
    lines = [f"thing {number}\tCategory {number // 20}\tBasic\t" for number in range(100)]
    (tmp_path / "parti.tsv").write_text("Prompt\tCategory\tChallenge\tNote\n" + "\n".join(lines))
    changes = [f"evaluation.prompts={tmp_path / 'parti.tsv'}", "evaluation.count=10"]
    found = tagged_heldout_prompts(load_recipe("emoji", changes))
    assert [prompt.tags["category"] for prompt in found] == [f"Category {number % 5}" for number in range(10)]


def test_prompts_of_the_embedded_world_have_their_form_as_category():
    found = tagged_heldout_prompts(load_recipe("emoji"))
    forms = {prompt.tags["category"] for prompt in found}
    assert forms == {"2 of a kind", "3 of a kind", "4 of a kind", "A and B", "A left of B", "A above B"}
    assert all(prompt.tags["category"] == "A and B" for prompt in found if " and " in prompt.text)
