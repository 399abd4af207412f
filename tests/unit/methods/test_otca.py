"""OTCA: what its credit is made of, and the limits in which it is the policy gradient that it is built on."""

from collections.abc import Sequence
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from rats_train.config import Recipe
from rats_train.losses.credit import compare_again, objective_coefficients, step_credit, velocity_weights
from rats_train.losses.policy import clipped_policy_loss, group_advantages
from rats_train.methods import policy_gradient
from rats_train.methods.build import build_method
from rats_train.methods.start import draw_budget
from rats_train.recipe_methods import Credit
from rats_train.rewards.base import NOTHING, Extras, Traits
from rats_train.sampling.stochastic import StochasticRollout
from tests.unit.methods.conftest import Case, with_method
from tests.unit.methods.test_grpo import draws  # noqa: F401 - a fixture


class Channel:
    """A reward without a gradient: the mean of one colour, weighed."""

    traits = Traits(differentiable=False, low=0.0, high=1.0)

    def __init__(self, colour: int, weight: float) -> None:
        self.name, self.weight, self._colour = "rgb"[colour], weight, colour

    def score(self, images: Tensor, prompts: Sequence[str], extras: Extras = NOTHING) -> Tensor:
        return images.detach()[:, self._colour].mean(dim=(1, 2))

    def to(self, device: object) -> Self:
        return self


def otca(case: Case, **credit: object) -> Recipe:
    return with_method(case.recipe, "otca", group_size=4, credit=credit)


def step_of(recipe: Recipe, nfe: int) -> int:
    """A training step that has ``nfe`` for its budget."""
    return next(step for step in range(100) if draw_budget(recipe, step) == nfe)


@pytest.fixture
def advantages(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Every advantage that a policy learned from."""
    seen: list[Tensor] = []

    def loss(new: Tensor, old: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
        seen.append(advantage)
        return clipped_policy_loss(new, old, advantage, clip_range)

    monkeypatch.setattr(policy_gradient, "clipped_policy_loss", loss)
    return seen


def test_an_advantage_is_the_credit_of_its_step_times_the_fused_one(
    case: Case,
    advantages: list[Tensor],
    draws: list[Any],  # noqa: F811
) -> None:
    case.rewards = [Channel(0, 1.0), Channel(1, 2.0), Channel(2, 1.0)]
    result = case.step(otca(case, exploration=0.4, floor=0.05))
    chain = draws[0]
    images = case.model.decode(chain.final)
    scores = [weight * images[:, colour].mean(dim=(1, 2)) for colour, weight in enumerate((1.0, 2.0, 1.0))]
    each = torch.stack([group_advantages(of_one.view(3, 4)).flatten() for of_one in scores])
    c = objective_coefficients(each, torch.tensor([0.25, 0.5, 0.25]), 0.4)
    states, drawn = (torch.stack([getattr(step, name) for step in chain.transitions]) for name in ("state", "drawn"))
    w = step_credit(states, drawn, chain.final, 0.05)
    assert w.std() > 0.01
    fused = compare_again((c * each).sum(dim=0).view(3, 4), each.view(3, 3, 4)).flatten()
    torch.testing.assert_close(advantages[0], w * fused)
    shares = torch.stack([result.samples[f"credit_of_{name}"] for name in "rgb"])
    torch.testing.assert_close(shares, c.view(3, 3, 4).mean(dim=2))
    summary = build_method(otca(case)).summarise(result.samples)
    assert sum(summary[f"credit_of_{name}"] for name in "rgb") == pytest.approx(1, abs=1e-5)
    assert summary["credit_of_best_step"] >= 1


@pytest.mark.parametrize(("nfe", "judged_halfway"), [(2, 0), (3, 1), (4, 1)])
def test_the_first_half_of_a_chain_is_judged_by_where_it_led(
    case: Case,
    advantages: list[Tensor],
    draws: list[Any],  # noqa: F811
    nfe: int,
    judged_halfway: int,
) -> None:
    case.rewards = [Channel(0, 1.0), Channel(1, 2.0)]
    case.step(otca(case, steps="halves", objectives=False), step=step_of(case.recipe, nfe))
    steps = draws[0].transitions
    seen = [steps[min(judged_halfway, nfe - 2)].denoised, draws[0].final]
    expected = []
    for latents in seen:
        means = case.model.decode(latents).mean(dim=(2, 3))
        expected.append(group_advantages((means[:, 0] + 2 * means[:, 1]).view(3, 4)).flatten())
    assert not torch.allclose(*expected, atol=0.1)
    weights = velocity_weights(torch.stack([step.response for step in steps]))
    judged = [expected[0]] * judged_halfway + [expected[1]] * (nfe - 1 - judged_halfway)
    torch.testing.assert_close(
        advantages[0].expand(nfe - 1, -1), weights[:, None] * torch.stack(judged), atol=1e-4, rtol=1e-3
    )


def test_each_half_fuses_the_rewards_by_its_own_verdicts(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.rewards = [Channel(0, 1.0), Channel(1, 2.0)]
    seen: list[tuple[Tensor, Tensor]] = []
    spread = policy_gradient.spread_advantages

    def spread_seen(credit: Any, chain: Any, verdicts: Tensor, rewards: Any) -> Any:
        found = spread(credit, chain, verdicts, rewards)
        weights = velocity_weights(torch.stack([step.response for step in chain.transitions]))
        seen.append((verdicts, found.values / weights[:, None]))
        return found

    monkeypatch.setattr(policy_gradient, "spread_advantages", spread_seen)
    case.step(otca(case, steps="halves"), step=step_of(case.recipe, 4))
    (verdicts, values), credit = seen[0], Credit(steps="none")
    for verdict, value in zip(verdicts, values, strict=True):
        alone = spread(credit, StochasticRollout(verdict, []), verdict[None], case.rewards).values
        torch.testing.assert_close(value[None], alone, atol=1e-4, rtol=1e-3)


def test_with_both_halves_off_it_is_grpo(case: Case) -> None:
    plain, off = with_method(case.recipe, "grpo", group_size=4), otca(case, steps="none", objectives=False)
    expected = case.gradients(plain)
    for name, gradient in case.gradients(off).items():
        assert torch.equal(gradient, expected[name])


def test_with_one_reward_only_the_credit_of_steps_is_left(case: Case, advantages: list[Tensor]) -> None:
    case.rewards = case.rewards[:1]
    case.step(otca(case))
    case.step(otca(case, objectives=False))
    torch.testing.assert_close(advantages[0], advantages[1])
    assert len(advantages[0]) == case.step(otca(case)).samples["nfe"][0] - 1


def test_where_all_steps_weigh_alike_only_the_credit_of_objectives_is_left(
    case: Case, advantages: list[Tensor]
) -> None:
    case.rewards = [Channel(0, 1.0), Channel(1, 1.0)]
    case.step(otca(case, floor=1e6), step=1)
    case.step(otca(case, steps="none"), step=1)
    torch.testing.assert_close(advantages[0], advantages[1].expand_as(advantages[0]), atol=1e-4, rtol=0)
    case.step(otca(case, objectives=False, steps="none"), step=1)
    assert not torch.allclose(advantages[1], advantages[2], atol=1e-2)


def test_the_scale_of_one_reward_does_not_drown_the_others(case: Case, advantages: list[Tensor]) -> None:
    case.rewards = [Channel(0, 1.0), Channel(1, 1.0)]
    case.step(otca(case, exploration=0.0))
    case.rewards = [Channel(0, 50.0), Channel(1, 1.0)]
    case.step(otca(case, exploration=0.0))
    torch.testing.assert_close(advantages[0], advantages[1], atol=0.1, rtol=0)
    assert advantages[0].std() > 0.1
