"""Distribution matching against what is known in closed form: Gaussians, two points, and plain DMD."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from rats_train.losses.distribution import (
    ambient_loss,
    ambient_velocity,
    consistency_loss,
    matching_direction,
    matching_loss,
    renoise,
)
from rats_train.sampling.steps import ancestral_step, cps_step, x0_from_velocity

COUNT = 400_000
LEVELS = [(0.0, 0.4), (0.3, 0.35), (0.3, 0.8), (0.75, 1.0)]


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def level(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def gaussian_velocity(x: Tensor, t: Tensor) -> Tensor:
    """The velocity of x0 ~ N(0.5, 0.6^2) in one dimension: E[n - x0 | x]."""
    gain = (t - (1 - t) * 0.36) / ((1 - t) ** 2 * 0.36 + t**2)
    return gain * (x - (1 - t) * 0.5) - 0.5


def two_points_velocity(x: Tensor, t: Tensor) -> Tensor:
    """The velocity of x0 = 1 or -1, evenly."""
    x0 = torch.tanh(x * (1 - t) / t**2)
    return (x - (1 - t) * x0) / t - x0


@pytest.mark.parametrize(("s", "t"), LEVELS)
@pytest.mark.parametrize("data", ["gaussian", "two points"])
def test_on_average_the_ambient_target_is_the_velocity_though_only_a_noisy_state_was_seen(
    s: float, t: float, data: str
) -> None:
    """Its error is uncorrelated with every function of x_t, so nothing else could be learned by regression."""
    x0 = 0.5 + 0.6 * draws(COUNT, 1) if data == "gaussian" else draws(COUNT, 1).sign()
    truth = gaussian_velocity if data == "gaussian" else two_points_velocity
    x_s = (1 - s) * x0 + s * draws(COUNT, 1, seed=1)
    eps, levels = draws(COUNT, 1, seed=2), level(t).expand(COUNT)
    x_t = renoise(x_s, level(s), levels, eps)
    error = ambient_velocity(x_s, level(s), levels, eps) - truth(x_t, level(t))
    for probe in (torch.ones_like(x_t), x_t, x_t.tanh(), x_t**2):
        product = error * probe
        assert abs(product.mean()) < 4 * product.std() / math.sqrt(COUNT)
    assert error.std() > 0.05


@pytest.mark.parametrize(("s", "t"), LEVELS)
def test_diffusing_on_gives_the_marginal_of_the_flow(s: float, t: float) -> None:
    x0, levels = 2.0, level(t).expand(COUNT)
    x_t = renoise((1 - s) * x0 + s * draws(COUNT, 1), level(s), levels, draws(COUNT, 1, seed=1))
    assert x_t.mean().item() == pytest.approx((1 - t) * x0, abs=0.01)
    assert x_t.std().item() == pytest.approx(t, rel=0.01)


def test_at_level_0_all_is_plain_flow_matching_and_dmd() -> None:
    x0, eps, v_teacher, v_fake = (draws(3, 4, 2, seed=seed) for seed in range(4))
    s, t = level(0.0), torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    wide = t.view(3, 1, 1)
    x_t = renoise(x0, s, t, eps)
    torch.testing.assert_close(x_t, (1 - wide) * x0 + wide * eps)
    torch.testing.assert_close(ambient_velocity(x0, s, t, eps), eps - x0)
    fake, teacher = (x0_from_velocity(x_t, v, wide) for v in (v_fake, v_teacher))
    dmd = (fake - teacher) / (x0 - teacher).abs().mean(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(matching_direction(x0, x_t, v_teacher, v_fake, s, t), dmd)


@pytest.mark.parametrize(("s", "t"), LEVELS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 0.9, 1.0])
def test_with_shared_noise_the_difference_of_two_moves_is_a_multiple_of_the_velocity_gap(
    s: float, t: float, eta: float
) -> None:
    x_s, eps, v_teacher, v_fake, z = (draws(2, 8, seed=seed) for seed in range(5))
    x_t = renoise(x_s, level(s), level(t).expand(2), eps)
    fake, teacher = (cps_step(x_t, v, level(t), level(s), z, eta).x for v in (v_fake, v_teacher))
    factor = (1 - s) * t - s * (1 - t) * math.cos(eta * math.pi / 2)
    torch.testing.assert_close(fake - teacher, factor * (v_teacher - v_fake))
    ours = matching_direction(x_s, x_t, v_teacher, v_fake, level(s), level(t).expand(2))
    ratio = ours / (fake - teacher)
    assert (ratio > 0).all()
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    if eta == 0:
        torch.testing.assert_close(ours, (fake - teacher) / (x_s - teacher).abs().mean(dim=1, keepdim=True))


def test_the_gradient_is_the_direction_and_reaches_the_student_alone() -> None:
    x_s, v_teacher, v_fake = (draws(3, 4, 2, seed=seed).requires_grad_() for seed in range(3))
    s, t = level(0.3), torch.tensor([0.4, 0.6, 1.0], dtype=torch.float64)
    x_t = renoise(x_s.detach(), s, t, draws(3, 4, 2, seed=3))
    direction = matching_direction(x_s, x_t, v_teacher, v_fake, s, t)
    loss = matching_loss(x_s, direction)
    assert loss.shape == (3,)
    loss.sum().backward()
    torch.testing.assert_close(x_s.grad, direction / 8)
    assert v_teacher.grad is None
    assert v_fake.grad is None
    assert direction.abs().min() > 0


def test_a_student_that_goes_against_the_direction_comes_to_the_teacher() -> None:
    """Where the fake score knows the student, its mean moves from the student's towards the teacher's."""
    s, t = level(0.0), level(0.6).expand(COUNT)
    x0 = 0.5 + 0.6 * draws(COUNT, 1)  # the student; its teacher draws the same around -1
    x_t = renoise(x0, s, t, draws(COUNT, 1, seed=1))
    teacher = gaussian_velocity(x_t + 0.4 * 1.5, level(0.6)) + 1.5
    direction = matching_direction(x0, x_t, teacher, gaussian_velocity(x_t, level(0.6)), s, t)
    assert (x0 - direction).mean() < x0.mean() - 0.1


@pytest.mark.parametrize(("s", "t"), [*LEVELS, (0.893, 0.9), (0.893, 0.99)])
def test_from_whatever_level_a_state_comes_what_the_true_velocity_pays_is_that_of_flow_matching(
    s: float, t: float
) -> None:
    x0, eps, levels = draws(1, COUNT), draws(1, COUNT, seed=2), level(t).view(1)
    x_s = (1 - s) * x0 + s * draws(1, COUNT, seed=1)
    spread = (1 - t) ** 2 + t**2
    truth = (2 * t - 1) / spread * renoise(x_s, level(s), levels, eps)
    target = ambient_velocity(x_s, level(s), levels, eps)
    assert ambient_loss(truth, target, level(s), levels).item() == pytest.approx(1 / spread, rel=0.02)
    if s > 0.3:
        assert (truth - target).square().mean() > 8 / spread


def test_at_level_0_the_fake_scores_loss_is_the_plain_squared_error() -> None:
    velocity, target, t = draws(3, 8), draws(3, 8, seed=1), torch.tensor([0.02, 0.5, 1.0], dtype=torch.float64)
    expected = (velocity - target).square().mean(dim=1)
    torch.testing.assert_close(ambient_loss(velocity, target, level(0.0), t), expected)


def moved(x_t: Tensor, t: float, lower: float, seed: int, kind: str) -> Tensor:
    """Prediction of x0 after one random move of x_t, by the true velocity."""
    velocity, z = gaussian_velocity(x_t, level(t)), draws(*x_t.shape, seed=seed)
    arguments = x_t, velocity, level(t), level(lower), z
    x = ancestral_step(*arguments).x if kind == "ancestral" else cps_step(*arguments, eta=0.9).x
    return x0_from_velocity(x, gaussian_velocity(x, level(lower)), level(lower))


@pytest.mark.parametrize("kind", ["ancestral", "cps"])
def test_the_consistency_estimate_is_unbiased_and_that_of_one_move_is_not(kind: str) -> None:
    t, lower, states = 0.7, 0.5, draws(8, 1)
    x_t = states.repeat_interleave(COUNT // 8, dim=0)
    x0 = x0_from_velocity(x_t, gaussian_velocity(x_t, level(t)), level(t))
    one, other = moved(x_t, t, lower, 1, kind), moved(x_t, t, lower, 2, kind)
    estimate = consistency_loss(x0, one, other).view(8, -1)
    expected = (one - x0).view(8, -1).mean(dim=1) ** 2
    error = 5 * estimate.std(dim=1) / math.sqrt(COUNT // 8)
    assert ((estimate.mean(dim=1) - expected).abs() < error).all()
    assert ((consistency_loss(x0, one, one).view(8, -1).mean(dim=1) - expected) > error).all()


@pytest.mark.parametrize(("t", "lower"), [(0.9, 0.7), (0.5, 0.49), (0.3, 0.0), (1.0, 0.8)])
def test_along_ancestral_moves_the_true_velocity_has_nothing_to_pay(t: float, lower: float) -> None:
    x_t = draws(8, 1).repeat_interleave(COUNT // 8, dim=0)
    x0 = x0_from_velocity(x_t, gaussian_velocity(x_t, level(t)), level(t))
    drift = (moved(x_t, t, lower, 1, "ancestral") - x0).view(8, -1)
    assert (drift.mean(dim=1).abs() <= 5 * drift.std(dim=1) / math.sqrt(COUNT // 8) + 1e-12).all()


def test_along_moves_of_a_fixed_share_of_fresh_noise_the_true_velocity_pays() -> None:
    """Why ancestral moves: with the authors' eta of 0.9 the regulariser pulls the fake score away from the truth."""
    t, lower = 0.5, 0.49
    x_t = draws(8, 1).repeat_interleave(COUNT // 8, dim=0)
    x0 = x0_from_velocity(x_t, gaussian_velocity(x_t, level(t)), level(t))
    one, other = (moved(x_t, t, lower, seed, "cps") for seed in (1, 2))
    assert consistency_loss(x0, one, other).mean() > 0.01


def test_an_ancestral_move_samples_the_past_of_a_diffused_state() -> None:
    """Diffuse from 0.3 to 0.8 and move back knowing x0: the pair of states is distributed as before."""
    x0 = 2.0
    before = 0.7 * x0 + 0.3 * draws(COUNT)
    after = renoise(before[:, None], level(0.3), level(0.8).expand(COUNT), draws(COUNT, 1, seed=1))[:, 0]
    velocity = (after - 0.2 * x0) / 0.8 - x0
    again = ancestral_step(after, velocity, level(0.8), level(0.3), draws(COUNT, seed=2)).x
    assert again.mean().item() == pytest.approx(before.mean().item(), abs=0.01)
    assert again.std().item() == pytest.approx(before.std().item(), rel=0.01)
    expected, found = (torch.corrcoef(torch.stack([x, after]))[0, 1].item() for x in (before, again))
    assert found == pytest.approx(expected, abs=0.01)


def test_levels_and_shapes_of_a_video_fit() -> None:
    s = 0.25
    x_s, eps, velocity = (draws(2, 3, 2, 4, 4, seed=seed) for seed in range(3))
    t = torch.tensor([0.5, 0.9], dtype=torch.float64)
    x_t = renoise(x_s, level(s), t, eps)
    direction = matching_direction(x_s, x_t, velocity, -velocity, level(s), t)
    losses = (
        ambient_loss(velocity, ambient_velocity(x_s, level(s), t, eps), level(s), t),
        matching_loss(x_s, direction),
        consistency_loss(x_s, eps, velocity),
    )
    assert direction.shape == x_t.shape == x_s.shape
    assert all(loss.shape == (2,) for loss in losses)
    assert all(not torch.equal(one, other) for one, other in itertools.pairwise(losses))
