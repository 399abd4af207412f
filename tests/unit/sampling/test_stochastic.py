"""Random chains: what they are without their noise, and what a learner finds in them."""

import pytest
import torch
from torch import Tensor

from rats_train.models.schedule import Schedule
from rats_train.sampling.rollout import rollout
from rats_train.sampling.stochastic import STEPS, StochasticRollout, stochastic_rollout

KINDS = ["cps", "sde"]
BUDGET = 4


class Flow:
    """A velocity with one weight, that counts its calls."""

    def __init__(self) -> None:
        self.weight = torch.tensor(0.7, requires_grad=True)
        self.calls = 0

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.calls += 1
        return self.weight * x.tanh() + sigma[:, None]


def draw(flow: Flow, kind: str, eta: float, checkpoint: bool = False) -> StochasticRollout:
    generator = torch.Generator().manual_seed(0)
    noise, fresh = torch.randn(3, 8, generator=generator), torch.randn(3, BUDGET - 1, 8, generator=generator)
    sigmas = Schedule().ending_at(0.25).sigmas(BUDGET)
    return stochastic_rollout(flow, noise, sigmas, fresh, kind=kind, eta=eta, checkpoint=checkpoint)


@pytest.mark.parametrize("kind", KINDS)
def test_without_fresh_noise_the_chain_is_the_euler_chain(kind: str) -> None:
    noise = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    euler = rollout(Flow(), noise, Schedule().ending_at(0.25).sigmas(BUDGET))
    torch.testing.assert_close(draw(Flow(), kind, eta=0.0).final, euler.final.detach())


@pytest.mark.parametrize("kind", KINDS)
def test_all_steps_but_the_last_are_random(kind: str) -> None:
    chain = draw(Flow(), kind, eta=0.7)
    assert len(chain.transitions) == BUDGET - 1
    assert all(step.std > 0 for step in chain.transitions)
    last = chain.transitions[-1]
    assert last.sigma_next == 0.25
    expected = last.drawn - 0.25 * (0.7 * last.drawn.tanh() + 0.25)
    torch.testing.assert_close(chain.final, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_begins_where_the_one_before_was_drawn_to(kind: str) -> None:
    first, *others = draw(Flow(), kind, eta=0.7).transitions
    for before, after in zip([first, *others], others, strict=False):
        assert torch.equal(before.drawn, after.state)
        assert before.sigma_next == after.sigma


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_the_means_alone(kind: str) -> None:
    chain = draw(Flow(), kind, eta=0.7)
    assert not chain.final.requires_grad
    for step in chain.transitions:
        assert step.mean.requires_grad
        assert not step.state.requires_grad
        assert not step.drawn.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_says_what_it_expected_and_how_its_mean_answers_to_the_velocity(kind: str) -> None:
    flow = Flow()
    for step in draw(flow, kind, eta=0.7).transitions:
        velocity = flow(step.state, step.sigma.expand(3)).detach()
        torch.testing.assert_close(step.denoised, step.state - step.sigma * velocity)
        assert not step.denoised.requires_grad
        velocity.requires_grad_()
        taken = STEPS[kind](step.state, velocity, step.sigma, step.sigma_next, torch.zeros(3, 8), 0.7)
        (slope,) = torch.autograd.grad(taken.mean.sum(), velocity)
        torch.testing.assert_close((slope.abs() / step.std), step.response.expand(3, 8))


def test_one_pass_draws_the_chain_and_its_graph() -> None:
    flow = Flow()
    sum(step.mean.sum() for step in draw(flow, "cps", eta=0.7).transitions).backward()
    assert flow.calls == BUDGET


def test_recomputing_activations_changes_no_gradient() -> None:
    gradients = []
    for checkpoint in (False, True):
        flow = Flow()
        sum(step.mean.square().sum() for step in draw(flow, "cps", 0.7, checkpoint).transitions).backward()
        gradients.append(flow.weight.grad)
    torch.testing.assert_close(*gradients)
