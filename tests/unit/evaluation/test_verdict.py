import pytest

from rats_train.errors import UserError
from rats_train.evaluation.verdict import judge


def test_a_better_student_is_promoted_and_every_condition_is_told(make_card):
    verdict = judge(make_card(lead=0.1))
    assert verdict.promoted
    assert not verdict.failures
    assert {(reason.budget, reason.metric) for reason in verdict.reasons} == {
        (budget, metric)
        for budget in (3, 5, 8)
        for metric in ("reward_b", "all_correct", "diversity_pixels", "diversity_features")
    }


def test_swapping_student_and_teacher_flips_the_verdict(make_scores, make_card, swap):
    assert judge(make_card(lead=0.1)).promoted
    assert not judge(swap(make_scores(lead=0.1))).promoted


def test_equals_are_not_promoted_either_way(make_scores, make_card, swap):
    assert not judge(make_card(lead=0.0)).promoted
    assert not judge(swap(make_scores(lead=0.0))).promoted


def test_a_student_that_falls_below_on_the_verifier_is_rejected(make_card):
    verdict = judge(make_card(lead=0.1, correct=0.1))
    assert [reason.metric for reason in verdict.failures] == ["all_correct"] * 3


def test_a_gamed_trained_reward_is_called_by_its_name(make_scores, build_card):
    scores = make_scores(lead=0.1)
    for steps in (3, 5, 8):
        scores.arms[f"student_{steps}"].values["reward_b"][:] = scores.arms[f"teacher_{steps}"].values["reward_b"]
    verdict = judge(build_card(scores))
    assert not verdict.promoted
    assert all("gamed" in reason.text for reason in verdict.failures)


def test_collapsed_diversity_is_rejected(make_scores, build_card):
    scores = make_scores(lead=0.1)
    scores.arms["student_8"].values["diversity_features"][:] = [0.01] * len(scores.prompts)
    assert [(reason.budget, reason.metric) for reason in judge(build_card(scores)).failures] == [
        (8, "diversity_features")
    ]


def test_without_a_heldout_reward_there_is_no_verdict(make_scores, build_card):
    scores = make_scores()
    card = build_card(scores.model_copy(update={"kinds": {**scores.kinds, "reward_b": "trained"}}))
    with pytest.raises(UserError, match=r"rewards\.heldout"):
        judge(card)
