"""Imitation alone and reward alone: each is RATS with a part of it taken away."""

import pytest
import torch

from rats_train.methods.base import STUDENT
from rats_train.methods.build import build_method
from rats_train.rewards.build import load_rewards
from tests.unit.methods.conftest import Case, changed, gradients, with_method


def test_distilling_is_shaping_with_the_gate_open_and_no_reward(case: Case) -> None:
    result = case.step(with_method(case.recipe, "distill"))
    torch.testing.assert_close(result.losses[STUDENT].detach(), case.step().samples["shaping"].mean())
    torch.testing.assert_close(result.samples["reward_student"], case.step().samples["reward_student"])


def test_rewards_teach_a_distilled_student_nothing(case: Case) -> None:
    distill = with_method(case.recipe, "distill")
    before = case.gradients(distill)
    case.rewards = load_rewards([spec.model_copy(update={"weight": 7.0}) for spec in case.recipe.rewards.train])
    case.batch.rewards["one"] += 5
    for name, gradient in case.gradients(distill).items():
        assert torch.equal(gradient, before[name])


def test_reward_alone_is_rats_without_its_teacher(case: Case) -> None:
    expected = case.gradients(changed(case.recipe, "method", alpha=0))
    found = case.gradients(with_method(case.recipe, "reward_only"))
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name])


def test_reward_alone_truncates_like_rats(case: Case) -> None:
    expected = case.gradients(changed(case.recipe, "method", alpha=0, backprop_steps=1))
    for name, gradient in case.gradients(with_method(case.recipe, "reward_only", backprop_steps=1)).items():
        torch.testing.assert_close(gradient, expected[name])


def test_trajectories_teach_reward_alone_nothing_but_tell_the_gap(case: Case) -> None:
    recipe = with_method(case.recipe, "reward_only")
    before, gap = case.gradients(recipe), build_method(recipe).summarise(case.step(recipe).samples)["gap"]
    case.batch.x0.add_(1)
    case.batch.final.add_(1)
    case.batch.rewards["one"] += 0.5
    for name, gradient in case.gradients(recipe).items():
        assert torch.equal(gradient, before[name])
    assert build_method(recipe).summarise(case.step(recipe).samples)["gap"] == pytest.approx(gap - 0.5)


@pytest.mark.parametrize("name", ["distill", "reward_only", "grpo", "rats_grpo"])
def test_every_method_leaves_the_teacher_alone_and_can_be_compared(case: Case, name: str) -> None:
    recipe = with_method(case.recipe, name)
    case.model.transformer.zero_grad()
    result = case.step(recipe)
    result.losses[STUDENT].backward()
    assert not gradients(case.model.transformer)
    assert gradients(case.roles[STUDENT])
    summary = build_method(recipe).summarise(result.samples)
    assert {"nfe", "reward_student", "reward_teacher", "gap"} <= summary.keys()
    assert ("gate_mean" in summary) is ("rats" in name)
    assert {vector.shape for vector in result.samples.values()} == {(3,)}
    for common in ("nfe", "reward_student", "reward_teacher"):
        torch.testing.assert_close(result.samples[common], case.step().samples[common])
