"""The comparison of credited and plain policy gradients is right on invented rows."""

import json
from dataclasses import asdict, replace

import pytest

from benchmarks.comparison import page
from benchmarks.objectives import CREDITED, PLAIN, objectives_table
from pipelines.benchmark.suite import load_suite
from tests.unit.benchmarks.test_comparison import rows_of

SUITE = load_suite("methods")
SCALES = {"reward_a": (0.859, 0.133), "all_correct": (0.867, 0.34), "scene_likeness": (28.1, 5.98)}


def scored(method, seed, *scores, budgets=(4,)):
    """Rows whose objectives have these scores in standard deviations."""
    at = dict(zip(SCALES, scores, strict=True))
    return [
        replace(row, value=SCALES[row.metric][0] + SCALES[row.metric][1] * at[row.metric]) if row.metric in at else row
        for row in rows_of(method, seed, 0.0, budgets)
    ]


def lines_of(*cases):
    text = objectives_table([row for case in cases for row in case], SUITE)
    return [line.strip("| ").split(" | ") for line in text.splitlines()]


def test_each_objective_the_worst_and_the_mean_are_compared_at_each_budget():
    lines = lines_of(scored(CREDITED, 0, 0.5, 0.2, -0.1), scored(PLAIN, 0, 0.1, 0.4, 0.2))
    assert lines[0] == ["steps", "reward a", "all correct", "scene likeness", "a student's worst", "their mean"]
    assert lines[2:] == [["4", "+0.40, 1 of 1", "-0.20, 0 of 1", "-0.30, 0 of 1", "-0.20, 0 of 1", "-0.03, 0 of 1"]]


def test_seeds_that_both_have_are_averaged():
    lines = lines_of(
        scored(PLAIN, 0, 0, 0, 0), scored(CREDITED, 0, 0.3, 0.3, 0.3), scored(PLAIN, 1, 0, 0, 0),
        scored(CREDITED, 1, 0.1, 0.1, 0.1), scored(CREDITED, 2, 9, 9, 9), scored("rats", 0, 9, 9, 9),
    )  # fmt: skip
    # Half the interval of two values is 12.706 times their half distance of .1.
    assert lines[2:] == [["4", *["+0.20 [-1.07, +1.47], 2 of 2"] * 5]]


def test_budgets_are_lines_and_other_metrics_no_columns():
    lines = lines_of(scored(PLAIN, 0, 0, 0, 0, budgets=(8, 3)), scored(CREDITED, 0, 0, 0, 1, budgets=(8, 3)))
    assert [line[0] for line in lines[2:]] == ["3", "8"]
    assert {len(line) for line in lines} == {6}


@pytest.mark.parametrize("first", [CREDITED, PLAIN])
def test_the_page_takes_it_from_the_results_of_the_methods(tmp_path, first):
    cases = [scored(CREDITED, 0, 0.5, 0.2, -0.1), scored(PLAIN, 0, 0.1, 0.4, 0.1)]
    rows = [asdict(row) for case in sorted(cases, key=lambda case: case[0].method != first) for row in case]
    (tmp_path / "emoji_methods.json").write_text(json.dumps({"command": "rats benchmark methods", "rows": rows}))
    text = page("<!-- table: objectives -->\nold\n<!-- end -->\n", tmp_path)
    assert "| 4 | +0.40, 1 of 1 |" in text
    assert "old" not in text
