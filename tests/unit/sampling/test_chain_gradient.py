"""What flows back through a chain: bounded for a sample that explodes, untouched for its neighbours."""

import pytest
import torch
from torch import Tensor

from rats_train.models.schedule import Schedule
from rats_train.sampling.chain_gradient import GROWTH, bound_growth
from rats_train.sampling.rollout import rollout

SIGMAS = Schedule().ending_at(0.25).sigmas(8)
# The second of three samples is at a fork: each step back multiplies its gradient.
STEEPNESS = torch.tensor([[0.1], [-40.0], [0.2]])


def fork(x: Tensor, sigma: Tensor) -> Tensor:
    return STEEPNESS * x


def gradients(loss: Tensor, states: list[Tensor]) -> list[Tensor]:
    """What arrives at each state, bounds applied (`torch.autograd.grad` shows it before they are)."""
    for state in states:
        state.retain_grad()
    loss.backward()
    return [state.grad for state in states]


def chain(steepness: Tensor, bounded: bool) -> list[Tensor]:
    """Gradients[3, 4] at all states of a chain that multiplies by ``steepness``, the result last."""
    states = [torch.ones(3, 4, requires_grad=True)]
    for _ in range(4):
        states.append(states[-1] * steepness)
    if bounded:
        bound_growth(states)
    return gradients((states[-1] * torch.tensor([[1.0], [2.0], [3.0]])).sum(), states)


def test_an_exploding_sample_is_held_to_a_multiple_of_its_norm_at_the_result() -> None:
    steepness = torch.tensor([[0.9], [30.0], [1.1]])
    free, bounded = chain(steepness, bounded=False), chain(steepness, bounded=True)
    limit = GROWTH * bounded[-1][1].norm()
    assert free[0][1].norm() > 1000 * limit
    for gradient in bounded[:-1]:
        torch.testing.assert_close(gradient[1].norm(), limit)
        torch.testing.assert_close(gradient[1] / gradient[1].norm(), free[0][1] / free[0][1].norm())


def test_calm_samples_beside_it_keep_every_bit() -> None:
    steepness = torch.tensor([[0.9], [30.0], [1.1]])
    for free, bounded in zip(chain(steepness, bounded=False), chain(steepness, bounded=True), strict=True):
        assert torch.equal(free[0], bounded[0])
        assert torch.equal(free[2], bounded[2])


def test_a_chain_whose_result_is_not_in_the_loss_is_left_alone() -> None:
    start = torch.ones(2, 4, requires_grad=True)
    middle = start * 50.0
    bound_growth([start, middle, middle * 2.0])
    middle.sum().backward()
    assert torch.equal(start.grad, torch.full((2, 4), 50.0))


def test_no_gradient_at_all_stays_zero() -> None:
    states = [torch.ones(2, 4, requires_grad=True)]
    states.append(states[0] * 3.0)
    bound_growth(states)
    (states[-1] * 0.0).sum().backward()
    assert torch.equal(states[0].grad, torch.zeros(2, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_measured_in_single(dtype: torch.dtype) -> None:
    # 64 gradients of 32000 each have a norm that float16 cannot hold.
    start = torch.ones(1, 64, dtype=dtype, requires_grad=True)
    result = start * 8.0
    bound_growth([start, result])
    (result * 4000.0).sum().backward()
    assert torch.equal(start.grad, torch.full((1, 64), 8000.0, dtype=dtype))


def test_every_rollout_with_gradient_is_bounded() -> None:
    states: list[Tensor] = []
    noise = torch.ones(3, 4, requires_grad=True)
    final = rollout(fork, noise, SIGMAS, on_step=lambda k, x: states.append(x)).final
    first, *_, last = gradients(final.sum(), states)
    torch.testing.assert_close(first[1].norm(), GROWTH * last[1].norm())


def test_a_truncated_chain_is_bounded_within_the_steps_that_carry_gradient() -> None:
    weight = torch.full((1,), 40.0, requires_grad=True)
    states: list[Tensor] = []
    final = rollout(
        lambda x, sigma: -weight * x,
        torch.ones(1, 4),
        SIGMAS,
        backprop_steps=3,
        on_step=lambda k, x: states.append(x),
    ).final
    assert [state.requires_grad for state in states] == [False] * 5 + [True] * 3
    first, *_, last = gradients(final.sum(), states[-3:])
    torch.testing.assert_close(first.norm(), GROWTH * last.norm())
