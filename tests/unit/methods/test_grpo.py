"""The policy gradient: what it draws, what it learns from, and what RATS makes of it."""

from collections.abc import Sequence
from typing import Self

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.losses.policy import clipped_policy_loss
from rats_train.methods import policy_gradient
from rats_train.methods.base import STUDENT, Role
from rats_train.methods.build import build_method
from rats_train.methods.start import draw_budget
from rats_train.rewards.base import NOTHING, Extras, Traits
from rats_train.rewards.build import combine
from rats_train.rewards.checks import check_values
from rats_train.sampling.stochastic import STEPS, StochasticRollout, stochastic_rollout
from rats_train.trajectories.reader import TrajectoryStore
from tests.unit.methods.conftest import ROWS, Case, changed, gradients, with_method


class Brightness:
    """A reward without a gradient: the share of pixels above a threshold."""

    name, weight, traits = "one", 1.0, Traits(differentiable=False, low=0.0, high=2.0)

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def score(self, images: Tensor, prompts: Sequence[str], extras: Extras = NOTHING) -> Tensor:
        rewards = (images.detach() > self.threshold).float().mean(dim=(1, 2, 3)) / self.threshold
        check_values(self.name, rewards, prompts, 0.0, torch.inf)
        return rewards

    def image_features(self, images: Tensor) -> Tensor:
        raise AssertionError("a policy gradient asks a reward for scores alone")

    def to(self, device: object) -> Self:
        return self


@pytest.fixture
def grpo(case: Case) -> Recipe:
    return with_method(case.recipe, "grpo", group_size=4)


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[StochasticRollout]:
    """Every group of chains that is drawn, as it is drawn."""
    made: list[StochasticRollout] = []

    def draw(*arguments: object, **options: object) -> StochasticRollout:
        made.append(stochastic_rollout(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(policy_gradient, "stochastic_rollout", draw)
    return made


def test_a_group_begins_at_one_noise_and_parts_by_its_random_steps(
    case: Case, grpo: Recipe, draws: list[StochasticRollout]
) -> None:
    result = case.step(grpo)
    first = draws[0].transitions[0]
    state, drawn = first.state.unflatten(0, (3, 4)), first.drawn.unflatten(0, (3, 4))
    assert torch.equal(state, state[:, :1].expand_as(state))
    assert not torch.equal(state[0], state[1])
    assert all(not torch.equal(row[i], row[j]) for row in drawn for i in range(4) for j in range(i))
    images = case.model.decode(draws[0].final)
    prompts = [prompt for prompt in case.batch.prompts for _ in range(4)]
    rewards = combine(case.rewards, images, prompts).view(3, 4)
    torch.testing.assert_close(result.samples["reward_group"], rewards.mean(dim=1))
    torch.testing.assert_close(result.samples["reward_spread"], rewards.std(dim=1, correction=0))


def test_a_row_is_drawn_alike_in_any_batch_and_anew_in_every_step(
    case: Case, grpo: Recipe, store: TrajectoryStore
) -> None:
    together = case.step(grpo).samples["reward_group"]
    alone = Case(case.recipe, case.model, case.rewards, store.batch(ROWS[1:2])).step(grpo)
    torch.testing.assert_close(alone.samples["reward_group"], together[1:2])
    again = next(step for step in range(1, 100) if draw_budget(grpo, step) == draw_budget(grpo, 0))
    assert not torch.allclose(case.step(grpo, step=again).samples["reward_group"], together, atol=1e-6)


@pytest.mark.parametrize("transition", ["cps", "sde"])
def test_the_gradient_is_that_of_a_second_pass_over_the_draws(
    case: Case, draws: list[StochasticRollout], transition: str
) -> None:
    """REINFORCE written out: - mean of advantage times the log-probability of what was drawn."""
    recipe = with_method(case.recipe, "grpo", group_size=4, transition=transition)
    found = case.gradients(recipe)
    chain, student = draws[0], case.roles[STUDENT]
    prompts = [prompt for prompt in case.batch.prompts for _ in range(4)]
    rewards = combine(case.rewards, case.model.decode(chain.final), prompts).view(3, 4)
    advantage = (
        (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, correction=0, keepdim=True) + 1e-4)
    ).flatten()
    embeds, terms = case.model.encode_prompts(prompts), []
    for step in chain.transitions:
        velocity = case.model.velocity(step.state, step.sigma.expand(12), embeds, transformer=student)
        mean = STEPS[transition](step.state, velocity, step.sigma, step.sigma_next, 0 * step.state, 0.7).mean
        terms.append(advantage * Normal(mean, step.std).log_prob(step.drawn).flatten(1).mean(dim=1))
    student.zero_grad()
    (-torch.stack(terms).mean()).backward()
    assert max(gradient.abs().max() for gradient in found.values()) > 1e-5
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, gradients(student)[name], atol=1e-6, rtol=1e-3)


def test_before_an_update_the_loss_is_nothing(case: Case, grpo: Recipe) -> None:
    assert abs(case.step(grpo).losses[STUDENT].item()) < 1e-6


def test_the_ratio_is_exactly_one(case: Case, grpo: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        policy_gradient,
        "clipped_policy_loss",
        lambda new, old, *rest: seen.append((new, old)) or clipped_policy_loss(new, old, *rest),
    )
    case.step(grpo)
    ((new, old),) = seen
    assert torch.equal(torch.exp(new - old), torch.ones_like(new))
    assert new.requires_grad
    assert not old.requires_grad


def test_a_reward_without_a_gradient_teaches(case: Case, grpo: Recipe) -> None:
    case.rewards = [Brightness()]
    assert any(gradient.abs().max() > 1e-6 for gradient in case.gradients(grpo).values())
    case.rewards = [Brightness(float("nan"))]
    with pytest.raises(UserError, match="Reward one is nan"):
        case.step(grpo)


def test_kl_is_measured_from_a_frozen_reference(case: Case) -> None:
    recipe = with_method(case.recipe, "grpo", group_size=2, kl_weight=0.5)
    assert build_method(recipe).roles["reference"] == Role()
    result = case.step(recipe)
    assert (result.samples["kl"] > 0).all()
    without = case.step(with_method(case.recipe, "grpo", group_size=2))
    assert "kl" not in without.samples
    expected = without.losses[STUDENT] + 0.5 * result.samples["kl"].mean()
    torch.testing.assert_close(result.losses[STUDENT], expected)
    case.roles["reference"] = case.roles[STUDENT]
    assert not case.step(recipe).samples["kl"].any()


def test_recomputing_activations_changes_no_gradient(case: Case, grpo: Recipe) -> None:
    kept, recomputed = case.gradients(grpo), case.gradients(grpo, recompute=True)
    for name, gradient in kept.items():
        torch.testing.assert_close(recomputed[name], gradient, atol=1e-6, rtol=1e-4)


def test_rats_with_a_policy_gradient_is_the_sum_of_both(case: Case, grpo: Recipe) -> None:
    recipe = with_method(case.recipe, "rats_grpo", group_size=4, alpha=2.5, tau=10.0)
    case.rewards = [Brightness()]
    result, rats = case.step(recipe), case.step(changed(case.recipe, "method", tau=10.0))
    torch.testing.assert_close(result.samples["gate"], rats.samples["gate"])
    shaping = (rats.samples["gate"] * rats.samples["shaping"]).mean()
    assert shaping > 1e-3
    torch.testing.assert_close(
        result.losses[STUDENT], case.step(grpo).losses[STUDENT] + 2.5 * shaping, atol=1e-6, rtol=1e-5
    )
    assert build_method(recipe).summarise(result.samples)["shaping"] == pytest.approx(shaping.item())
