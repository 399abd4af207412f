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
from rats_train.rewards.base import NOTHING, Extras, Traits
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


def test_a_step_is_credited_with_what_it_changed_in_each_reward(
    case: Case,
    advantages: list[Tensor],
    draws: list[Any],  # noqa: F811
) -> None:
    case.rewards = [Channel(0, 1.0), Channel(1, 2.0), Channel(2, 1.0)]
    result = case.step(otca(case, steps="rewards", exploration=1.0), step=step_of(case.recipe, 4))
    chain = draws[0]
    assert len(chain.transitions) == 3
    seen = [*(step.denoised for step in chain.transitions[1:]), chain.final]
    weighed = torch.tensor([1.0, 2.0, 1.0])
    worth = torch.stack([weighed * case.model.decode(latents).mean(dim=(2, 3)) for latents in seen])
    changes = torch.cat([worth[:1], worth.diff(dim=0)])
    each = torch.stack([
        torch.stack([group_advantages(of_one.view(3, 4)).flatten() for of_one in step.T]) for step in changes
    ])  # fmt: skip
    fused = (each * torch.tensor([0.25, 0.5, 0.25])[None, :, None]).sum(dim=1)
    widest = each.view(3, 3, 3, 4).std(dim=3, correction=0).amax(dim=1)
    again = fused.view(3, 3, 4) * (widest / fused.view(3, 3, 4).std(dim=2, correction=0)).unsqueeze(2)
    weights = velocity_weights(torch.stack([step.response for step in chain.transitions]))
    assert weights[0] > 2 * weights[-1]
    torch.testing.assert_close(advantages[0], weights[:, None] * again.flatten(1), atol=1e-4, rtol=1e-3)
    assert (result.samples["credit_of_best_step"] > 1).all()


def test_what_the_steps_changed_adds_up_to_what_the_chain_is_worth(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    spread = policy_gradient.spread_advantages

    def spread_seen(credit: object, chain: object, changes: Tensor, rewards: object) -> object:
        seen.append(changes)
        return spread(credit, chain, changes, rewards)  # type: ignore[arg-type]

    monkeypatch.setattr(policy_gradient, "spread_advantages", spread_seen)
    case.rewards = [Channel(0, 1.0), Channel(1, 2.0)]
    for steps in ("rewards", "none"):
        case.step(otca(case, steps=steps), step=step_of(case.recipe, 4))
    assert [len(changes) for changes in seen] == [3, 1]
    torch.testing.assert_close(seen[0].sum(dim=0), seen[1][0])


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
