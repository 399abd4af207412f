"""Single steps against their definitions, and the stochastic ones against the flow they must preserve."""

import itertools

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from rats_train.sampling.steps import cps_step, eps_from_velocity, euler_step, sde_step, x0_from_velocity


def at(sigma: float) -> Tensor:
    return torch.tensor(sigma, dtype=torch.float64)


def test_velocity_points_at_both_ends_of_the_path() -> None:
    x0, eps, sigma = torch.randn(8).double(), torch.randn(8).double(), at(0.3)
    x = (1 - sigma) * x0 + sigma * eps
    torch.testing.assert_close(x0_from_velocity(x, eps - x0, sigma), x0)
    torch.testing.assert_close(eps_from_velocity(x, eps - x0, sigma), eps)
    torch.testing.assert_close(euler_step(x, eps - x0, sigma, at(0.1)), 0.9 * x0 + 0.1 * eps)


def test_euler_step_has_the_bits_of_the_stock_scheduler() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    scheduler.set_timesteps(7)
    x = torch.randn(2, 4, 16, 16)
    for k, t in enumerate(scheduler.timesteps):
        v = torch.randn_like(x)
        ours = euler_step(x, v, scheduler.sigmas[k], scheduler.sigmas[k + 1])
        x = scheduler.step(v, t, x).prev_sample
        assert torch.equal(ours, x)


@pytest.mark.parametrize("step", [sde_step, cps_step])
@pytest.mark.parametrize("sigma", [1.0, 0.6])
def test_without_noise_share_a_stochastic_step_is_euler(step: type, sigma: float) -> None:
    x, v, noise = (torch.randn(8).double() for _ in range(3))
    drawn = step(x, v, at(sigma), at(0.4), noise, eta=0.0)
    torch.testing.assert_close(drawn.x, euler_step(x, v, at(sigma), at(0.4)))
    assert drawn.std == 0


def test_cps_ends_deterministic() -> None:
    x, v, noise = (torch.randn(8).double() for _ in range(3))
    drawn = cps_step(x, v, at(0.25), at(0.0), noise)
    torch.testing.assert_close(drawn.x, x0_from_velocity(x, v, at(0.25)))
    assert drawn.std == 0


@pytest.mark.parametrize(("eta", "fresh"), [(0.5, 0.5**0.5), (0.9, 0.98769), (1.0, 1.0)])
def test_the_share_of_fresh_noise_in_a_cps_step_is_a_part_of_a_quarter_turn(eta: float, fresh: float) -> None:
    x0, eps, noise = (torch.randn(8).double() for _ in range(3))
    drawn = cps_step(0.2 * x0 + 0.8 * eps, eps - x0, at(0.8), at(0.4), noise, eta)
    assert drawn.std.item() == pytest.approx(0.4 * fresh, abs=1e-5)
    torch.testing.assert_close(drawn.mean, 0.6 * x0 + 0.4 * (1 - fresh**2) ** 0.5 * eps, atol=1e-5, rtol=0)


@pytest.mark.parametrize("step", [sde_step, cps_step])
def test_a_draw_is_its_mean_plus_its_noise(step: type) -> None:
    x, v, noise = (torch.randn(8).double() for _ in range(3))
    drawn = step(x, v, at(1.0), at(0.8), noise)
    torch.testing.assert_close(drawn.x, drawn.mean + drawn.std * noise)
    assert drawn.std > 0


def test_sde_keeps_the_marginals_of_the_flow() -> None:
    """x0 ~ N(0, 0.5^2) has a known velocity; many small steps must end with the spread that sigma 0.3 has."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50_000, generator=generator, dtype=torch.float64)
    for sigma, sigma_next in itertools.pairwise(torch.linspace(1, 0.3, 201, dtype=torch.float64)):
        v = (sigma - (1 - sigma) * 0.25) / ((1 - sigma) ** 2 * 0.25 + sigma**2) * x
        x = sde_step(x, v, sigma, sigma_next, torch.randn(50_000, generator=generator, dtype=torch.float64)).x
    assert x.std().item() == pytest.approx((0.7**2 * 0.25 + 0.3**2) ** 0.5, rel=0.01)


def test_cps_keeps_the_coefficients_of_the_flow() -> None:
    """With the true endpoints, the next state is (1 - sigma) x0 plus noise of exactly sigma."""
    generator = torch.Generator().manual_seed(0)
    eps, noise = torch.randn(2, 200_000, generator=generator, dtype=torch.float64)
    x0, sigma, sigma_next = 2.0, at(0.8), at(0.5)
    drawn = cps_step((1 - sigma) * x0 + sigma * eps, eps - x0, sigma, sigma_next, noise)
    assert drawn.x.mean().item() == pytest.approx(0.5 * x0, abs=0.01)
    assert drawn.x.std().item() == pytest.approx(0.5, rel=0.01)
