"""RTDMD: who learns when and from what, what its parts add up to, and the limits that are other methods."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.learning_rate import learning_rate
from rats_train.losses.distribution import matching_loss
from rats_train.losses.gate import reward_gate
from rats_train.methods import matching
from rats_train.methods.base import STUDENT, Role, StepContext
from rats_train.methods.build import build_method
from rats_train.methods.draws import RowDraws
from rats_train.methods.policy_gradient import PolicyGradient
from rats_train.methods.start import begin
from rats_train.rewards.build import combine
from rats_train.seeds import derived_seed
from rats_train.trajectories.prompts import PromptBatch
from tests.unit.methods.conftest import Case, changed, gradients, with_method
from tests.unit.methods.test_grpo import Brightness, draws  # noqa: F401 - a fixture

FAKE = "fake_score"
TILT = 7
"""A step behind the cold start, of the largest budget: three random steps."""


def rtdmd(case: Case, **settings: object) -> Recipe:
    recipe = changed(case.recipe, "training", steps=12)
    return with_method(recipe, "rtdmd", **{"group_size": 4, "cold_start": 0.5, "fake_updates": 2, **settings})


def grads(case: Case, role: str, recipe: Recipe, step: int) -> Mapping[str, Tensor]:
    """The gradient that the loss of one role gives to that role; no other has any."""
    for module in case.roles.values():
        module.zero_grad()
    case.step(recipe, step=step).losses[role].backward()
    for name, module in case.roles.items():
        assert bool(gradients(module)) is (name == role), name
    return {name: gradient.clone() for name, gradient in gradients(case.roles[role]).items()}


def context(case: Case, step: int) -> StepContext:
    return StepContext(step, case.model, case.rewards, case.roles)


def test_the_teacher_is_frozen_and_the_fake_score_has_an_optimiser_of_its_own(case: Case) -> None:
    assert build_method(rtdmd(case)).roles == {
        STUDENT: Role(trainable=True),
        "teacher": Role(),
        FAKE: Role(trainable=True),
    }


def test_the_fake_score_learns_in_every_step_and_a_cold_student_in_some(case: Case) -> None:
    recipe = rtdmd(case, fake_updates=3)
    for step in range(8):
        result, cold = case.step(recipe, step=step), step < 6
        assert set(result.losses) == ({STUDENT, FAKE} if not cold or step % 3 == 0 else {FAKE})
        assert bool(result.samples) is (STUDENT in result.losses)
    assert "reward_group" not in case.step(rtdmd(case, cold_start=1), step=10).samples
    assert "reward_group" in case.step(rtdmd(case, cold_start=0), step=0).samples


def test_each_stage_has_a_learning_rate_that_rises_and_falls(case: Case) -> None:
    recipe = changed(rtdmd(case, cold_start=0.6, fake_rate=2.0, tilt_rate=0.25), "training", steps=100)
    student, fake = {}, {}
    for step in (0, 2, 30, 59, 60, 61, 80, 99):
        engine = learning_rate(step, 100, 1.0, 5)
        rates = case.step(recipe, step=step).rates
        student[step], fake[step] = rates[STUDENT] * engine, rates[FAKE] * engine
    cold = {step: learning_rate(step, 60, 1.0, 3) for step in student if step < 60}
    tilt = {step: 0.25 * learning_rate(step - 60, 40, 1.0, 2) for step in student if step >= 60}
    assert student == pytest.approx(cold | tilt)
    assert fake == pytest.approx({step: 2 * rate for step, rate in cold.items()} | {s: 8 * r for s, r in tilt.items()})
    assert student[59] < 0.02
    assert student[61] == pytest.approx(0.25)


@pytest.mark.parametrize("step", [0, 2, TILT])
def test_each_loss_reaches_its_own_role_alone(case: Case, step: int) -> None:
    for role in (STUDENT, FAKE):
        assert max(gradient.abs().max() for gradient in grads(case, role, rtdmd(case), step).values()) > 1e-6


def test_where_the_fake_score_says_what_the_teacher_says_nothing_is_to_match(case: Case) -> None:
    case.roles[FAKE] = case.roles["teacher"]
    unguided = changed(rtdmd(case), "teacher", guidance_scale=1)
    assert not case.step(unguided, step=0).samples["matching"].any()
    assert case.step(rtdmd(case), step=0).samples["matching"].all()  # the guidance is left


def test_in_a_cold_start_gradient_runs_through_one_step_and_pulls_its_state_to_the_teacher(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def loss(state: Tensor, direction: Tensor) -> Tensor:
        seen.append(direction)
        return matching_loss(state, direction)

    monkeypatch.setattr(matching, "matching_loss", loss)
    starts = {step: begin(rtdmd(case), case.batch, context(case, step)) for step in (0, 2, 4)}
    stops = {step: 1 + derived_seed(case.recipe.seed, "stop", step) % start.nfe for step, start in starts.items()}
    # A stop after the first step would say nothing.
    step = max(stops, key=lambda step: stops[step])
    start, stop, student = starts[step], stops[step], case.roles[STUDENT]
    assert stop > 1
    found = grads(case, STUDENT, rtdmd(case), step)
    state = start.noise
    for k in range(stop):
        with torch.set_grad_enabled(k == stop - 1):
            velocity = case.model.velocity(state, start.sigmas[k].expand(3), start.embeds, transformer=student)
            state = state + (start.sigmas[k + 1] - start.sigmas[k]) * velocity
    student.zero_grad()
    state.backward(seen[0] / (3 * state[0].numel()))
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, gradients(student)[name], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("step", [4, TILT])
def test_recomputing_activations_changes_no_gradient(case: Case, step: int) -> None:
    kept, recomputed = (case.gradients(rtdmd(case), step=step, recompute=on) for on in (False, True))
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("step", [0, TILT])
def test_the_gate_of_rats_scales_each_samples_matching(case: Case, step: int) -> None:
    case.batch.rewards["one"] += torch.tensor([0.03, -0.02, 0.0])
    free, gated = (case.step(rtdmd(case, gate=gate), step=step) for gate in ("none", "soft"))
    assert "gate" not in free.samples
    assert torch.equal(free.samples["matching"], gated.samples["matching"])
    gate, distance = gated.samples["gate"], gated.samples["matching"]
    if step == 0:
        expected = reward_gate(gated.samples["reward_teacher"], gated.samples["reward_student"], 0.05)
        torch.testing.assert_close(gate, expected)
        torch.testing.assert_close(gated.losses[STUDENT].detach(), (gate * distance).mean())
    assert gate[0] > gate[1]
    case.batch.rewards["one"] -= 50
    closed = case.step(rtdmd(case, gate="hard"), step=step)
    assert not closed.samples["gate"].any()
    without = case.step(rtdmd(case, matching_weight=0), step=step).losses[STUDENT] if step else torch.zeros(())
    torch.testing.assert_close(closed.losses[STUDENT].detach(), without.detach())


def test_a_tilted_loss_is_the_sum_of_its_three_parts(case: Case) -> None:
    policy = case.step(rtdmd(case, matching_weight=0, reward_weight=0), step=TILT)
    whole = case.step(rtdmd(case, matching_weight=2.5, reward_weight=1.5), step=TILT)
    samples = whole.samples
    expected = policy.losses[STUDENT] + 2.5 * samples["matching"].mean() - 1.5 * samples["reward_group"].mean()
    torch.testing.assert_close(whole.losses[STUDENT], expected)
    assert samples["matching"].min() > 0


def test_without_matching_and_reward_and_with_all_steps_it_is_grpo(case: Case) -> None:
    recipe = rtdmd(case, matching_weight=0, reward_weight=0, learned_steps=None)
    expected = case.gradients(with_method(recipe, "grpo", group_size=4), step=TILT)
    for name, gradient in case.gradients(recipe, step=TILT).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-7, rtol=1e-4)


def test_its_policy_gradient_takes_the_credit_of_otca(case: Case) -> None:
    credit = {"exploration": 0.3}
    recipe = rtdmd(case, matching_weight=0, reward_weight=0, learned_steps=None, credit=credit)
    expected = case.gradients(with_method(recipe, "otca", group_size=4, credit=credit), step=TILT)
    found, plain = case.gradients(recipe, step=TILT), case.gradients(rtdmd(case, learned_steps=None), step=TILT)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-7, rtol=1e-4)
    assert any(not torch.allclose(gradient, plain[name], rtol=1e-2) for name, gradient in found.items())
    assert "credit_of_best_step" in build_method(recipe).summarise(case.step(recipe, step=TILT).samples)


def test_the_reward_goes_back_through_the_last_step_alone(case: Case, draws: list[Any]) -> None:  # noqa: F811
    settings: dict[str, Any] = {"matching_weight": 0, "learned_steps": None}
    with_reward = case.gradients(rtdmd(case, reward_weight=1, **settings), step=TILT)
    without = case.gradients(rtdmd(case, reward_weight=0, **settings), step=TILT)
    student, start = case.roles[STUDENT], begin(rtdmd(case), case.batch, context(case, TILT)).repeated(4)
    state, sigma = draws[0].transitions[-1].drawn, start.sigmas[-2]
    velocity = case.model.velocity(state, sigma.expand(12), start.embeds, transformer=student)
    prompts = [prompt for prompt in case.batch.prompts for _ in range(4)]
    student.zero_grad()
    (-combine(case.rewards, case.model.decode(state - sigma * velocity), prompts).mean()).backward()
    expected = gradients(student)
    assert max(gradient.abs().max() for gradient in expected.values()) > 1e-4
    for name, gradient in with_reward.items():
        torch.testing.assert_close(gradient - without[name], expected[name], atol=1e-5, rtol=1e-3)


def test_a_reward_without_gradient_teaches_by_the_policy_alone(case: Case) -> None:
    case.rewards = [Brightness()]
    blind = [case.gradients(rtdmd(case, reward_weight=weight), step=TILT) for weight in (0, 1)]
    for name, gradient in blind[0].items():
        assert torch.equal(gradient, blind[1][name])


def test_a_tilting_step_has_random_steps_to_leave_out(case: Case, draws: list[Any]) -> None:  # noqa: F811
    seen = set()
    for step in range(6, 12):
        case.step(rtdmd(case, learned_steps=1), step=step)
        (transition,) = draws[-1].transitions
        seen.add((len(begin(rtdmd(case), case.batch, context(case, step)).sigmas) - 2, float(transition.sigma)))
    assert {random_steps for random_steps, _ in seen} == {1, 2, 3}
    assert len(seen) > 3, "which step is learned from changes from one training step to the next"
    case.step(rtdmd(case, learned_steps=2), step=TILT)
    assert len(draws[-1].transitions) == 2


def fresh(case: Case, batch: PromptBatch, learned: list[int], step: int = TILT) -> Tensor:
    """The noise[B, G, 3, ...] of the random steps of a batch's groups."""
    recipe = rtdmd(case)
    names = [(row, member) for row in batch.rows for member in range(4)]
    prompts = [prompt for prompt in batch.prompts for _ in range(4)]
    policy = PolicyGradient(recipe, recipe.method, learned_steps=2)
    numbers = RowDraws(recipe.seed, step, names, torch.device("cpu"))
    return policy._fresh(numbers, prompts, (3, *case.model.latent_shape), learned).unflatten(0, (-1, 4))


def test_noise_of_the_steps_that_are_left_out_is_the_prompts_own(case: Case) -> None:
    batch = PromptBatch(rows=(7, 8, 9), prompts=("two owls", "a fox", "two owls"), seeds=(1, 2, 3))
    noise = fresh(case, batch, learned=[0, 2])
    shared, own = noise[:, :, 1], noise[:, :, [0, 2]]
    assert torch.equal(shared, shared[:, :1].expand_as(shared))
    assert torch.equal(shared[0], shared[2])
    assert not torch.allclose(shared[0, 0], shared[1, 0], atol=0.1)
    flat = own.flatten(0, 1)
    assert all(not torch.allclose(flat[i], flat[j], atol=0.1) for i in range(len(flat)) for j in range(i))
    assert not torch.allclose(fresh(case, batch, [0, 2], step=TILT + 1)[:, :, 1], shared, atol=0.1)


def test_noise_is_the_same_whatever_rank_a_row_falls_to(case: Case) -> None:
    batch = PromptBatch(rows=(7, 8, 9), prompts=("two owls", "a fox", "two owls"), seeds=(1, 2, 3))
    last = PromptBatch(rows=batch.rows[2:], prompts=batch.prompts[2:], seeds=batch.seeds[2:])
    assert torch.equal(fresh(case, batch, [0])[2:], fresh(case, last, [0]))


@pytest.mark.parametrize("step", [0, TILT])
def test_a_row_is_matched_alike_in_any_batch(case: Case, step: int, store: Any) -> None:
    together = case.step(rtdmd(case), step=step).samples
    alone = Case(case.recipe, case.model, case.rewards, store.batch(case.batch.rows[1:2]))
    for name, values in alone.step(rtdmd(case), step=step).samples.items():
        torch.testing.assert_close(values, together[name][1:2], atol=1e-5, rtol=1e-4)


def test_consistency_is_part_of_the_fake_scores_loss(case: Case) -> None:
    losses = [case.step(rtdmd(case, consistency_weight=weight), step=0).losses[FAKE] for weight in (0.0, 1.0, 2.0)]
    assert losses[1] != losses[0]
    torch.testing.assert_close(losses[2] - losses[1], losses[1] - losses[0])


def test_a_fake_score_that_learns_comes_to_know_the_student(case: Case) -> None:
    recipe, fake = rtdmd(case, consistency_weight=0), case.roles[FAKE]
    optimizer = torch.optim.Adam(fake.parameters(), lr=2e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = case.step(recipe, step=1).losses[FAKE]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
