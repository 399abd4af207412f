"""docs/results.md has the tables that its command makes of the results; here of invented rows."""

import json
from dataclasses import asdict, replace

import pytest

from benchmarks.comparison import PAGE, page
from pipelines.benchmark.rows import Row

TEACHER = {"reward_a": 0.85, "reward_b": 0.80, "all_correct": 0.9, "scene_likeness": 27.0, "diversity_pixels": 0.16}
KINDS = dict(zip(TEACHER, ("trained", "heldout", "verifier", "realism", "diversity"), strict=True))


def rows_of(method, seed, lead, budgets=(3, 5), crossed=100, memory=None):
    return [
        Row(
            method=method, seed=seed, nfe=nfe, metric=metric, kind=KINDS[metric], value=teacher + lead,
            teacher_50=teacher, teacher_same_nfe=0.7, n_prompts=256, ci95=(lead - 0.5, lead + 0.5),
            ci95_same_nfe=(0.0, 1.0), train_seconds=400.0 + seed, seconds_to_teacher=crossed and crossed * 1.5,
            steps_to_teacher=crossed, recipe_digest="0" * 12, commit="0123456789", processor="an abacus",
            train_memory=memory,
        )
        for nfe in budgets
        for metric, teacher in TEACHER.items()
    ]  # fmt: skip


@pytest.fixture
def table(tmp_path):
    def write(*cases):
        rows = [asdict(row) for case in cases for row in case]
        text = json.dumps({"command": "rats benchmark ablations --seeds 2", "rows": rows})
        (tmp_path / "emoji_ablations.json").write_text(text)
        text = page("before\n<!-- table: ablations -->\nof last week\n<!-- end -->\nafter\n", tmp_path)
        assert page(text, tmp_path) == text
        assert "of last week" not in text
        assert text.startswith("before\n<!-- table: ablations -->\n")
        assert text.endswith("<!-- end -->\nafter\n")
        return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]

    return write


@pytest.fixture
def parts(tmp_path):
    """The lines of one part of the page that is made of the methods' results."""

    def write(name, *cases):
        rows = [asdict(row) for case in cases for row in case]
        (tmp_path / "emoji_methods.json").write_text(json.dumps({"command": "rats benchmark methods", "rows": rows}))
        text = page(f"<!-- table: {name} -->\nold\n<!-- end -->\n", tmp_path)
        return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]

    return write


def test_the_page_is_not_stale():
    assert PAGE.read_text() == page(PAGE.read_text())


def test_seeds_are_averaged_with_their_interval_and_counted(table):
    lines = table(rows_of("rats", 0, 0.02), rows_of("rats", 1, -0.01))
    # Half the interval of two values is 12.706 times their half distance of .015.
    assert lines[2] == [
        "`rats`",
        "3",
        "+.005 [-.186, +.196], 1 of 2",
        "+.005 [-.186, +.196], 1 of 2",
        "+0.5 [-18.6, +19.6], 1 of 2",
    ]
    assert [line[1] for line in lines[2:4]] == ["3", "5"]


def test_a_method_with_one_seed_among_others_with_more_has_the_interval_over_its_prompts(table):
    lines = table(rows_of("rats", 0, 0.02), rows_of("rats", 1, 0.03), rows_of("alpha_1", 0, 1.25))
    assert lines[4][:3] == ["`alpha_1`", "3", "+1.250 [+.750, +1.750], 1 of 1"]


def test_one_seed_has_its_budgets_side_by_side_and_a_dash_where_it_has_none(table):
    lines = table(rows_of("rats", 0, 0.02), rows_of("only_5_steps", 0, -0.03, budgets=(5,)))
    assert lines[0][1:] == [
        "reward a, trained on, at 3 / 5 steps",
        "reward b, held out, at 3 / 5 steps",
        "all correct, points, at 3 / 5 steps",
    ]
    assert lines[2:4] == [
        ["`rats`", "+.020 / +.020", "+.020 / +.020", "+2.0 / +2.0"],
        ["`only_5_steps`", "– / -.030", "– / -.030", "– / -3.0"],
    ]


def test_what_some_methods_train_on_is_still_a_judge_in_the_table(table):
    lines = table(
        [replace(row, kind="trained") for row in rows_of("alpha_1", 0, 0.01) if row.metric != "diversity_pixels"],
        rows_of("rats", 0, 0.02),
    )
    assert lines[0][1:] == [
        "reward a, trained on, at 3 / 5 steps",
        "reward b, held out, at 3 / 5 steps",
        "all correct, points, at 3 / 5 steps",
    ]
    assert [line[3] for line in lines[2:4]] == ["+1.0 / +1.0", "+2.0 / +2.0"]
    assert lines[-2][2:4] == ["+0.0 / +0.0", "– / –"]


def test_what_a_method_pays_and_how_long_it_takes(table):
    lines = table(
        rows_of("rats", 0, -0.04, memory=3 * 2**29),
        rows_of("rats", 1, -0.04, crossed=None),
        rows_of("alpha_0", 0, 0.0, crossed=None),
    )
    rats, without = lines[-2:]
    assert rats[2:] == ["-0.0 / -0.0", "75 / 75", "400", "1.5", "100 (1 of 2)", "150 (1 of 2)", "2"]
    assert without[:2] == ["`alpha_0`", "`method.name=reward_only`"]
    assert without[-5:] == ["400", "–", "never", "never", "1"]


def test_the_long_training_has_a_table_over_its_seeds(parts):
    lines = parts("over_seeds", rows_of("rats_long", 0, 0.02), rows_of("rats", 0, 9.0), rows_of("rats_long", 1, -0.01))
    assert [line[:3] for line in lines[2:]] == [
        ["`rats_long`", "3", "+.005 [-.186, +.196], 1 of 2"],
        ["`rats_long`", "5", "+.005 [-.186, +.196], 1 of 2"],
    ]


def test_every_seed_of_the_long_training_has_its_own_line(parts):
    lines = parts("every_seed", rows_of("rats_long", 3, 0.02), rows_of("rats", 3, 9.0), rows_of("rats_long", 1, -0.01))
    assert lines[2:4] == [
        ["3", "3", "+.020 [-.480, +.520]", "+.020 [-.480, +.520]", "+2.0 [-48.0, +52.0]"],
        ["3", "5", "+.020 [-.480, +.520]", "+.020 [-.480, +.520]", "+2.0 [-48.0, +52.0]"],
    ]
    assert [line[:3] for line in lines[4:]] == [["1", "3", "-.010 [-.510, +.490]"], ["1", "5", "-.010 [-.510, +.490]"]]


@pytest.mark.parametrize(
    ("part", "method", "other"),
    [("imitation", "rats", "distill"), ("reward_alone", "rats", "reward_only"), ("second_stage", "rtdmd", "acdmd")],
)
def test_a_method_is_compared_with_another_where_both_were_trained(parts, part, method, other):
    lines = parts(
        part,
        rows_of(other, 0, 0.01), rows_of(method, 0, 0.03), rows_of(method, 1, 0.0), rows_of(other, 1, 0.01),
        rows_of(method, 2, 9.0), rows_of("grpo", 0, 9.0),
    )  # fmt: skip
    # Differences .02 and -.01: half their interval is 12.706 times half their distance.
    assert [line[:3] for line in lines[2:]] == [
        [f"`{method}`", "3", "+.005 [-.186, +.196], 1 of 2"],
        [f"`{method}`", "5", "+.005 [-.186, +.196], 1 of 2"],
    ]
