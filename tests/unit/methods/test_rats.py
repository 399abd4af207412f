"""RATS against the checks that any implementation of its text must pass, on a tiny model and without an engine."""

import pytest
import torch

from rats_train.config import Recipe
from rats_train.methods.base import STUDENT
from rats_train.methods.build import build_method
from rats_train.methods.start import draw_budget
from rats_train.models.sd3 import SD3
from rats_train.rewards.base import RewardModel
from rats_train.trajectories.prompts import PromptSource
from tests.unit.methods.conftest import ROWS, Case, changed, gradients


def test_the_loss_is_reward_plus_alpha_times_gated_shaping(case: Case) -> None:
    result = case.step(changed(case.recipe, "method", alpha=2.5))
    samples = result.samples
    gap = samples["reward_teacher"] - samples["reward_student"]
    torch.testing.assert_close(samples["gate"], torch.sigmoid(gap / 0.05))
    expected = -samples["reward_student"].mean() + 2.5 * (samples["gate"] * samples["shaping"]).mean()
    torch.testing.assert_close(result.losses[STUDENT].detach(), expected)


def test_alpha_zero_leaves_the_reward_alone(case: Case) -> None:
    result = case.step(changed(case.recipe, "method", alpha=0))
    torch.testing.assert_close(result.losses[STUDENT].detach(), -result.samples["reward_student"].mean())


def test_a_student_on_its_teachers_schedule_with_its_weights_has_nothing_to_learn_from_it(
    recipe: Recipe, model: SD3, rewards: list[RewardModel]
) -> None:
    same = changed(recipe, "teacher", source="ema", steps=4, guidance_scale=1)
    same = changed(same, "student", steps=[4], terminal_sigma=0.001)
    case = Case(same, model, rewards, PromptSource(same).batch(ROWS))
    case.roles[STUDENT] = model.transformer
    samples = case.step().samples
    torch.testing.assert_close(samples["shaping"], torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(samples["gate"], torch.full((3,), 0.5))


def test_a_frozen_average_teaches_what_the_store_holds(case: Case) -> None:
    stored = case.step().samples
    online = case.step(changed(case.recipe, "teacher", source="ema", ema_decay=1)).samples
    for name, values in stored.items():
        torch.testing.assert_close(online[name], values, atol=2e-3, rtol=0)


def test_no_gradient_reaches_the_teacher_or_the_rewards(case: Case) -> None:
    case.model.transformer.zero_grad()
    case.step(changed(case.recipe, "teacher", source="ema")).losses[STUDENT].backward()
    assert not gradients(case.model.transformer)
    assert gradients(case.roles[STUDENT])


@pytest.mark.parametrize(("horizons", "skipped"), [("all", 0), ("later", 1)])
def test_every_step_of_the_chain_is_matched_and_the_result_too(case: Case, horizons: str, skipped: int) -> None:
    """Moving what the store holds at one teacher step moves the loss exactly when a student step is aligned to it."""
    batch, budget = case.batch, draw_budget(case.recipe, 0)
    recipe = changed(case.recipe, "method", horizons=horizons)
    before = case.step(recipe).samples["shaping"]
    x0, touched = batch.x0.clone(), []
    for place in range(x0.shape[1]):
        batch.x0.copy_(x0)
        batch.x0[:, place] += 1
        touched += [place] if not torch.equal(case.step(recipe).samples["shaping"], before) else []
    batch.x0.copy_(x0)
    assert len(touched) == budget - skipped
    assert (0 in touched) == (not skipped)
    batch.final.add_(1)
    assert not torch.equal(case.step(recipe).samples["shaping"], before)


def test_a_final_horizon_matches_the_result_alone(case: Case) -> None:
    final = changed(case.recipe, "method", horizons="final")
    before = case.step(final).samples["shaping"]
    case.batch.x0.add_(1)
    assert torch.equal(case.step(final).samples["shaping"], before)
    case.batch.final.add_(1)
    assert not torch.equal(case.step(final).samples["shaping"], before)
    assert case.step(changed(final, "teacher", source="ema")).samples["shaping"].shape == before.shape


def test_a_hard_gate_is_open_exactly_where_the_teacher_is_better(case: Case) -> None:
    case.batch.rewards["one"] += torch.tensor([1.0, -1.0, 1.0])
    result = case.step(changed(case.recipe, "method", gate="hard"))
    assert result.samples["gate"].tolist() == [1, 0, 1]
    expected = -result.samples["reward_student"].mean() + result.samples["shaping"][[0, 2]].sum() / 3
    torch.testing.assert_close(result.losses[STUDENT].detach(), expected)


def test_every_budget_gets_as_many_evaluations_as_a_function_of_seed_and_step(recipe: Recipe) -> None:
    drawn = [draw_budget(recipe, step) for step in range(3000)]
    evaluations = [budget * drawn.count(budget) for budget in recipe.student.steps]
    assert max(evaluations) / min(evaluations) < 1.15
    assert drawn[:30] == [draw_budget(recipe, step) for step in range(30)]
    assert drawn[:30] != [draw_budget(recipe.model_copy(update={"seed": 1}), step) for step in range(30)]


def test_recomputing_activations_changes_no_gradient(case: Case) -> None:
    kept, recomputed = case.gradients(), case.gradients(recompute=True)
    assert kept.keys() == recomputed.keys()
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient, atol=1e-6, rtol=1e-4)


def test_truncation_keeps_the_gradient_of_the_last_steps_only(case: Case) -> None:
    reward_only = changed(case.recipe, "method", alpha=0)
    whole = case.gradients(reward_only)
    budget = draw_budget(case.recipe, 0)
    untruncated = case.gradients(changed(reward_only, "method", backprop_steps=budget))
    last = case.gradients(changed(reward_only, "method", backprop_steps=1))
    for name, gradient in whole.items():
        torch.testing.assert_close(untruncated[name], gradient)
    assert any(not torch.allclose(last[name], gradient, rtol=1e-2) for name, gradient in whole.items())


def test_the_summary_follows_the_samples(case: Case) -> None:
    result = case.step()
    summary = build_method(case.recipe).summarise(result.samples)
    assert summary["gap"] == pytest.approx(summary["reward_student"] - summary["reward_teacher"], abs=1e-6)
    assert summary["reward_loss"] + summary["shaping"] == pytest.approx(result.losses[STUDENT].item(), abs=1e-6)
    assert summary["gate_min"] <= summary["gate_mean"] <= summary["gate_max"]
    assert summary["nfe"] in case.recipe.student.steps
