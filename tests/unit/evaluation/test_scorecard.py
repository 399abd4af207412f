import json

import numpy as np
import pytest

from rats_train.errors import UserError
from rats_train.evaluation.scorecard import Scorecard
from rats_train.evaluation.scores import Scores


def test_json_has_the_promised_shape(make_card, tmp_path):
    make_card().write(tmp_path / "scorecard.json")
    card = json.loads((tmp_path / "scorecard.json").read_text())
    assert list(card["nfe"]) == ["3", "5", "8", "50"]
    for rows in card["nfe"].values():
        assert set(rows) == {"reward_a", "reward_b"}
        for row in rows.values():
            assert {"teacher_50", "teacher_same_nfe", "student", "gap", "ci95", "gap_50", "ci95_50", "kind"} <= set(row)
            low, high = row["ci95"]
            assert low <= row["gap"] <= high
    assert card["nfe"]["3"]["reward_a"]["kind"] == "trained"
    assert card["nfe"]["3"]["reward_b"]["kind"] == "heldout"
    assert set(card["quality"]["8"]) == {"all_correct", "diversity_pixels", "diversity_features"}
    assert (card["n_prompts"], card["n_images"], len(card["seeds"])) == (24, 48, 48)
    assert {"commit", "recipe_digest", "versions", "machine"} <= set(card["provenance"])
    assert "two evaluations a step" in card["note"]


def test_gaps_are_student_minus_each_teacher(make_scores, make_card):
    scores, row = make_scores(), make_card().nfe["3"]["reward_a"]

    def mean(arm):
        return np.mean(scores.arms[arm].values["reward_a"])

    assert row.gap == pytest.approx(mean("student_3") - mean("teacher_3"))
    assert row.gap_50 == pytest.approx(mean("student_3") - mean("teacher_50"))
    assert row.gap_unguided == pytest.approx(mean("student_3") - mean("teacher_3_unguided"))


def test_guidance_is_charged_twice(make_card):
    arms = make_card().arms
    assert (arms["teacher_3"].evaluations, arms["student_3"].evaluations) == (6, 3)
    assert arms["student_8"].evaluations_ratio == pytest.approx(0.08)
    assert arms["teacher_50"].seconds_ratio == 1.0


def test_written_scorecards_and_scores_read_back_equal(make_scores, make_card, tmp_path):
    make_card().write(tmp_path / "card.json")
    make_scores().write(tmp_path / "scores.json")
    assert Scorecard.read(tmp_path / "card.json") == make_card()
    assert Scores.read(tmp_path / "scores.json") == make_scores()


def test_a_scorecard_of_another_shape_is_one_clear_line(tmp_path):
    (tmp_path / "card.json").write_text('{"nfe": 3}')
    with pytest.raises(UserError, match="evaluate again"):
        Scorecard.read(tmp_path / "card.json")
    with pytest.raises(UserError, match="No file"):
        Scorecard.read(tmp_path / "absent.json")
