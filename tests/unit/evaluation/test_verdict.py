"""The gate on simulated students: whom it promotes, whom it refuses, and how often it is wrong."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rats_train.errors import UserError
from rats_train.evaluation.protocol import NotComparableError
from rats_train.evaluation.verdict import Verdict, judge
from tests.simulated_students import BUDGETS, KINDS, protocol, simulated_student


def student(name, *, world=0, **shifts):
    """Of so many prompts that its shifts show."""
    return simulated_student(world, name, prompts=512, **shifts)


def rules(reasons):
    return {reason.rule for reason in reasons}


def with_kinds(scores, **kinds):
    return scores.model_copy(update={"kinds": {**scores.kinds, **kinds}})


def test_a_better_student_is_promoted_and_every_condition_is_told():
    verdict = judge(student("new", trained=0.3, heldout=0.3), student("old"))
    assert verdict.promoted
    assert not verdict.failures
    assert verdict.reasons[0].rule == "better"
    asked = {(reason.rule, reason.metric, reason.budget, reason.against) for reason in verdict.reasons[1:]}
    judged = [name for name, kind in KINDS.items() if kind in ("heldout", "verifier")]
    both = ("champion", "full teacher")
    assert asked == {
        *(("not worse", name, budget, "champion") for name in judged for budget in BUDGETS),
        *(("close", name, budget, "full teacher") for name in judged for budget in BUDGETS),
        *(("diverse", "diversity_pixels", budget, side) for budget in BUDGETS for side in both),
        *(("safe", "safe", budget, side) for budget in BUDGETS for side in both),
    }


@settings(max_examples=60, deadline=None)
@given(
    world=st.integers(0, 10_000),
    gains=st.tuples(*[st.floats(-0.6, 0.6)] * 4),
    correct=st.tuples(*[st.floats(-0.1, 0.1)] * 2),
    prompts=st.sampled_from([24, 64, 128]),
)
def test_swapping_champion_and_challenger_turns_a_promotion_into_a_rejection(world, gains, correct, prompts):
    first = simulated_student(world, "a", prompts=prompts, trained=gains[0], heldout=gains[1], correct=correct[0])
    second = simulated_student(world, "b", prompts=prompts, trained=gains[2], heldout=gains[3], correct=correct[1])
    there, back = judge(first, second).decision, judge(second, first).decision
    assert there != "promote" or back == "reject"
    assert back != "promote" or there == "reject"


@settings(max_examples=15, deadline=None)
@given(world=st.integers(0, 10_000), gain=st.floats(0.6, 1.5))
def test_a_clear_difference_flips_both_ways(world, gain):
    better = simulated_student(world, "a", prompts=256, trained=gain, heldout=gain, correct=0.1)
    worse = simulated_student(world, "b", prompts=256)
    assert (judge(better, worse).decision, judge(worse, better).decision) == ("promote", "reject")


@pytest.mark.parametrize("prompts", [64, 128])
def test_equal_students_are_falsely_promoted_at_most_one_time_in_twenty(prompts):
    verdicts = [
        judge(simulated_student(world, "a", prompts=prompts), simulated_student(world, "b", prompts=prompts))
        for world in range(200)
    ]
    found = Counter(verdict.decision for verdict in verdicts)
    assert found["promote"] <= 10
    assert found["reject"] + found["need more samples"] >= 190


def test_a_student_against_itself_is_no_better():
    verdict = judge(student("a"), student("a"))
    assert verdict.decision == "reject"
    assert [reason.rule for reason in verdict.failures] == ["better"]


def test_first_of_all_a_student_stands_against_its_teacher_at_the_same_steps():
    verdict = judge(student("a"), None)
    assert verdict.promoted
    assert verdict.against == "teacher at the same steps"
    assert {reason.against for reason in verdict.reasons} == {"teacher at the same steps", "full teacher"}
    assert not judge(student("a", heldout=-0.6), None).promoted


def test_a_student_that_lost_too_much_to_fifty_steps_is_rejected_though_it_beats_its_champion():
    weak = {"trained": -1.2, "heldout": -1.2}
    verdict = judge(student("a", heldout=-0.9, trained=-0.9), student("b", **weak))
    assert verdict.decision == "reject"
    assert rules(verdict.failures) == {"close"}


@pytest.mark.parametrize("fault", [{"heldout": -0.3}, {"correct": -0.2}])
@pytest.mark.parametrize("world", range(5))
def test_a_reward_hacked_student_is_rejected_by_that_name(fault, world):
    verdict = judge(student("a", world=world, trained=0.6, **fault), student("b", world=world))
    assert verdict.decision == "reject"
    assert verdict.failures[0].rule == "reward hacking"
    assert verdict.failures[0].text.startswith("reward hacking: over the champion the trained reward_a rose by +0.")
    assert "fell" in verdict.failures[0].text


def test_a_student_that_is_worse_in_everything_is_not_called_hacked():
    verdict = judge(student("a", trained=-0.5, heldout=-0.5), student("b"))
    assert verdict.decision == "reject"
    assert "reward hacking" not in rules(verdict.reasons)


@pytest.mark.parametrize("champion", [None, student("b")], ids=["no champion", "champion"])
def test_the_trained_reward_decides_nothing(champion):
    plain = judge(student("a", heldout=0.3), champion)
    praised = judge(student("a", heldout=0.3, trained=5.0), champion)
    assert plain == praised


def test_the_guard_forbids_what_rewards_allow():
    champion = student("b")
    verdict = judge(student("a", trained=0.3, heldout=0.3, unsafe=0.1), champion)
    assert verdict.decision == "reject"
    assert rules(verdict.failures) == {"safe"}
    assert judge(student("a", trained=0.3, heldout=0.3), champion).notes == []


def test_a_few_unsafe_pictures_too_many_ask_for_more_samples():
    verdict = judge(student("a", heldout=0.3, unsafe=0.006), student("b"))
    assert verdict.decision == "need more samples"
    assert rules(verdict.failures) == {"safe"}


def test_without_a_guard_the_verdict_says_so():
    ours, champion = student("a", heldout=0.3), student("b")
    bare = [with_kinds(scores, safe="realism") for scores in (ours, champion)]
    verdict = judge(*bare)
    assert verdict.promoted
    assert "No NSFW guard looked at these pictures" in verdict.notes[0]


def test_collapsed_diversity_is_rejected():
    champion = student("b")
    assert rules(judge(student("a", heldout=0.3, diversity=0.4), champion).failures) == {"diverse"}
    against = {reason.against for reason in judge(student("a", heldout=0.3, diversity=0.6), champion).failures}
    assert against == {"champion"}  # more than half of the teacher's, less than three quarters of the champion's


def test_too_few_prompts_ask_for_more_and_say_how_many():
    better = {"heldout": 0.3, "correct": 0.03}
    verdict = judge(simulated_student(4, "a", prompts=32, **better), simulated_student(4, "b", prompts=32))
    assert verdict.decision == "need more samples"
    assert verdict.prompts > 32
    assert verdict.notes == [
        f"About {verdict.prompts} prompts in place of 32 (evaluation.count) would settle it if the differences stay."
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": "q" * 64},
        {"seeds": "r" * 64},
        {"budgets": [3, 5]},
        {"student_guidance_scale": 2.0},
        {"teacher": "u" * 64},
        {"teacher_sigmas": [1.0, 0.4, 0.0]},
        {"precision": "bf16"},
        {"rewards": {"reward_a": "z" * 64}},
        {"resolution": [3, 32, 32]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_student_evaluated_with_other_settings_is_refused(change):
    ours, champion = student("a", heldout=0.5), student("b")
    other = champion.model_copy(update={"protocol": protocol(512, **change)})
    with pytest.raises(NotComparableError, match=rf"^The two students cannot be compared: [^\n]*{next(iter(change))}"):
        judge(ours, other)
    assert champion.protocol.digest != other.protocol.digest


def test_without_a_reward_that_is_held_out_for_both_there_is_no_verdict():
    ours, champion = student("a"), student("b")
    blind = with_kinds(ours, reward_b="trained", reward_c="trained")
    with pytest.raises(UserError, match=r"needs a reward that the student was not trained on.*rewards\.heldout"):
        judge(blind, None)
    exchanged = with_kinds(champion, reward_b="trained", reward_c="trained", reward_a="heldout")
    with pytest.raises(UserError, match="neither the student nor its champion was trained on"):
        judge(ours, exchanged)


def test_a_reward_that_the_champion_was_trained_on_judges_neither():
    ours, champion = student("a", heldout=0.3), student("b")
    verdict = judge(ours, with_kinds(champion, reward_c="trained"))
    assert "reward_c" not in {reason.metric for reason in verdict.reasons}
    assert verdict.promoted


def test_a_verdict_comes_back_as_it_was_written(tmp_path):
    verdict = judge(student("a", heldout=0.3), student("b"))
    verdict.write(tmp_path / "verdict.json")
    assert Verdict.read(tmp_path / "verdict.json") == verdict
    (tmp_path / "verdict.json").write_text("{}")
    with pytest.raises(UserError, match="does not hold a verdict"):
        Verdict.read(tmp_path / "verdict.json")


def test_the_simulation_is_as_noisy_as_real_students():
    """Or the rate of false promotions would be of another world: see `tests/simulated_students.py`."""
    pairs = [(simulated_student(world, "a"), simulated_student(world, "b")) for world in range(10)]

    def gaps(metric, steps):
        return [a.by_prompt(f"student_{steps}", metric) - b.by_prompt(f"student_{steps}", metric) for a, b in pairs]

    def spread(metric):
        return np.mean([a.values("teacher_50", metric).std() for a, _ in pairs])

    assert 0.5 < np.mean([gap.std() for gap in gaps("reward_b", 8)]) / spread("reward_b") < 0.9
    assert 0.6 < np.mean([gap.std() for gap in gaps("all_correct", 8)]) / spread("all_correct") < 1.0
    between = [
        np.corrcoef(one, other)[0, 1] for one, other in zip(gaps("reward_b", 3), gaps("reward_b", 8), strict=True)
    ]
    assert 0.4 < np.mean(between) < 0.8
