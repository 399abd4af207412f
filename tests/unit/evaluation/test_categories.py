import numpy as np
import pytest

from rats_train.evaluation.categories import FEWEST, compare_categories


def rows(scores):
    return compare_categories(scores, samples=200, seed=0)


def test_every_kind_of_prompt_is_compared_at_every_budget(make_scores):
    found = rows(make_scores())
    assert {(row.tag, row.category, row.prompts) for row in found} == {
        ("category", "even", 12),
        ("category", "odd", 12),
    }
    assert {(row.budget, row.metric) for row in found} == {
        (budget, metric) for budget in (3, 5, 8) for metric in ("reward_a", "reward_b", "all_correct")
    }


def test_a_row_holds_the_means_of_its_own_prompts(make_scores):
    scores = make_scores()
    (row,) = [r for r in rows(scores) if (r.category, r.budget, r.metric) == ("odd", 5, "reward_b")]
    student, teacher = (np.array(scores.arms[arm].values["reward_b"]) for arm in ("student_5", "teacher_50"))
    odd = (np.arange(len(student)) // 2) % 2 == 1
    assert row.student == pytest.approx(student[odd].mean())
    assert row.gap_50 == pytest.approx((student - teacher)[odd].mean())
    assert row.ci95_50[0] < row.gap_50 < row.ci95_50[1]


def test_a_few_prompts_have_no_interval_and_a_prompt_may_lack_a_tag(make_scores):
    scores = make_scores()
    tags = [{"category": "rare"} if number < FEWEST - 1 else {} for number in range(len(scores.prompts))]
    found = rows(scores.model_copy(update={"tags": tags}))
    assert {(row.category, row.prompts, row.ci95_50) for row in found} == {("rare", FEWEST - 1, None)}


def test_prompts_without_categories_have_no_table(make_scores):
    scores = make_scores()
    assert rows(scores.model_copy(update={"tags": [{}] * len(scores.prompts)})) == []
