"""Credit of steps and objectives: what is conserved, and the limits in which it is plain group advantage."""

import pytest
import torch
from torch import Tensor

from rats_train.losses.credit import compare_again, objective_coefficients, step_credit, velocity_weights
from rats_train.losses.policy import gaussian_log_prob


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chain(steps: int = 4, samples: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """States before and after each step of chains that wander from noise to a result."""
    path = [draws(samples, 2, 3, seed=seed) for seed in range(2)]
    points = torch.stack([(1 - w) * path[0] + w * path[1] + 0.05 * draws(samples, 2, 3, seed=9) for w in
                          torch.linspace(0, 0.8, steps + 1, dtype=torch.float64) ** 2])  # fmt: skip
    return points[:-1], points[1:], path[1]


def test_step_weights_have_mean_1_and_no_step_is_without() -> None:
    states, drawn, final = chain()
    weights = step_credit(states, drawn, final, floor=0.01)
    assert weights.shape == (4, 5)
    torch.testing.assert_close(weights.mean(dim=0), torch.ones(5, dtype=torch.float64))
    assert (weights > 0).all()
    assert weights.std(dim=0).min() > 0.05


def test_a_step_weighs_in_proportion_to_how_much_nearer_it_came_to_the_result() -> None:
    final = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    angles = torch.tensor([1.2, 1.0, 1.1, 0.2], dtype=torch.float64)
    points = torch.stack([angles.cos(), angles.sin()], dim=1)[:, None]
    gains = torch.stack(
        [angles[1].cos() - angles[0].cos(), torch.tensor(0.0).double(), angles[3].cos() - angles[2].cos()]
    )
    weights = step_credit(points[:-1], points[1:], final, floor=0.01)[:, 0]
    torch.testing.assert_close(weights, 3 * (gains + 0.01) / (gains + 0.01).sum())


def test_where_no_step_gained_and_where_the_floor_is_all_steps_weigh_alike() -> None:
    states, drawn, final = chain()
    ones = torch.ones(4, 5, dtype=torch.float64)
    torch.testing.assert_close(step_credit(states, states, final, floor=0.01), ones)
    torch.testing.assert_close(step_credit(states, drawn, final, floor=1e6), ones, atol=1e-5, rtol=0)
    torch.testing.assert_close(step_credit(states[:1], drawn[:1], final, floor=0.01), ones[:1])


def test_no_gradient_runs_through_step_weights() -> None:
    states, drawn, final = (tensor.requires_grad_() for tensor in chain())
    assert not step_credit(states, drawn, final, 0.01).requires_grad


def test_weighed_by_velocity_every_step_learns_the_change_that_its_noise_was() -> None:
    velocities, noises, stds = draws(3, 6).requires_grad_(), draws(3, 6, seed=1), torch.tensor([0.3, 0.1, 0.02])
    slopes = torch.tensor([0.1, 0.2, 0.4])
    responses = slopes / stds
    weights = velocity_weights(responses)
    assert float(weights.mean()) == pytest.approx(1)
    log_probs = [
        gaussian_log_prob((slope * v + std * e).detach()[None], (slope * v)[None], std)
        for v, e, slope, std in zip(velocities, noises, slopes, stds, strict=True)
    ]
    (weights * torch.cat(log_probs)).sum().backward()
    assert velocities.grad is not None
    one = velocities.grad[0] / (noises[0] / responses[0])
    torch.testing.assert_close(velocities.grad, one.mean() * noises / responses[:, None])


@pytest.mark.parametrize("objectives", [1, 2, 3, 5])
@pytest.mark.parametrize("exploration", [0.0, 0.3, 1.0])
def test_coefficients_lie_on_the_simplex(objectives: int, exploration: float) -> None:
    advantages = draws(objectives, 500)
    advantages[:, :20] = advantages[:, :20].sign()
    advantages[0, 20:40] = 0
    advantages[:, 40:50] = 0
    shares = torch.full((objectives,), 1 / objectives, dtype=torch.float64)
    found = objective_coefficients(advantages, shares, exploration)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(dim=0), torch.ones(500, dtype=torch.float64))
    if exploration:
        assert (found >= exploration / objectives - 1e-12).all()


def test_coefficients_minimise_the_square_of_the_fused_advantage() -> None:
    advantages = draws(3, 200)
    shares = torch.full((3,), 1 / 3, dtype=torch.float64)
    fused = (objective_coefficients(advantages, shares, 0.0) * advantages).sum(dim=0).abs()
    grid = torch.cartesian_prod(*[torch.linspace(0, 1, 41, dtype=torch.float64)] * 2)
    grid = torch.cat([grid, 1 - grid.sum(dim=1, keepdim=True)], dim=1)
    best = (grid[grid[:, 2] >= -1e-9] @ advantages).abs().min(dim=0).values
    assert (fused <= best + 1e-9).all()


def test_two_objectives_have_the_closed_form_of_mgda() -> None:
    advantages = draws(2, 500)
    one, other = advantages
    first = (other * (other - one) / (one - other) ** 2).clamp(0, 1)
    found = objective_coefficients(advantages, torch.full((2,), 0.5, dtype=torch.float64), 0.0)
    torch.testing.assert_close(found, torch.stack([first, 1 - first]))


def test_equal_objectives_and_a_single_one_leave_the_advantage_as_it_is() -> None:
    alone = draws(1, 50)
    for advantages in (alone, alone.expand(3, 50)):
        shares = torch.full((len(advantages),), 1 / len(advantages), dtype=torch.float64)
        fused = (objective_coefficients(advantages, shares, 0.2) * advantages).sum(dim=0)
        torch.testing.assert_close(fused, alone[0])


@pytest.mark.parametrize("exploration", [0.0, 0.2])
def test_an_objective_that_all_samples_of_a_group_share_silences_no_other(exploration: float) -> None:
    others = draws(2, 200)
    shares = torch.tensor([0.4, 0.6], dtype=torch.float64)
    expected = (objective_coefficients(others, shares, exploration) * others).sum(dim=0)
    advantages = torch.cat([others, torch.zeros(1, 200, dtype=torch.float64)])
    found = objective_coefficients(advantages, torch.cat([shares, torch.zeros(1, dtype=torch.float64)]), exploration)
    torch.testing.assert_close((found * advantages).sum(dim=0), expected)
    assert not found[2].any()
    nobody = objective_coefficients(torch.zeros(3, 4), torch.tensor([0.5, 0.3, 0.2]), 0.0)
    torch.testing.assert_close(nobody, torch.full((3, 4), 1 / 3))


def test_what_objectives_disagree_on_is_silent_but_for_the_shares() -> None:
    advantages = torch.tensor([[2.0], [-1.0], [-3.0]])
    shares = torch.tensor([0.5, 0.3, 0.2])
    for exploration in (0.0, 0.25):
        fused = (objective_coefficients(advantages, shares, exploration) * advantages).sum(dim=0)
        torch.testing.assert_close(fused, exploration * (shares[:, None] * advantages).sum(dim=0), atol=1e-6, rtol=0)


def test_fused_advantages_are_compared_again_within_their_group() -> None:
    each = draws(3, 4, 8)
    each[1, 2] = 0
    coefficients = objective_coefficients(each.flatten(1), torch.full((3,), 1 / 3).double(), 0.2).view(3, 4, 8)
    fused = (coefficients * each).sum(dim=0)
    again = compare_again(fused, each)
    torch.testing.assert_close(again.mean(dim=1), torch.zeros(4).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(again.std(dim=1, correction=0), each.std(dim=2, correction=0).amax(dim=0))
    assert (fused.std(dim=1, correction=0) < 0.6 * again.std(dim=1, correction=0)).all()
    torch.testing.assert_close(again, compare_again(7 * fused + 3, each))


def test_one_objective_is_left_as_it_is_and_a_group_without_a_word_stays_silent() -> None:
    each = draws(1, 3, 6)
    each -= each.mean(dim=2, keepdim=True)
    torch.testing.assert_close(compare_again(each[0], each), each[0])
    opposed = torch.cat([each, -each])
    assert not compare_again(opposed.sum(dim=0) + 1e-7 * draws(3, 6), opposed).any()
