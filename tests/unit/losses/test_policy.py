"""Policy gradient terms against torch's own Gaussians, and the gradient that they must and must not give."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from rats_train.losses.policy import clipped_policy_loss, gaussian_kl, gaussian_log_prob, group_advantages


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_log_probability_is_that_of_a_gaussian_per_dimension() -> None:
    x, mean, std = draw(3, 4, 2), draw(3, 4, 2) + 0.1, torch.tensor(0.3, dtype=torch.float64)
    expected = Normal(mean, std).log_prob(x).mean(dim=(1, 2))
    torch.testing.assert_close(gaussian_log_prob(x, mean, std), expected)


def test_kl_is_that_of_two_gaussians_per_dimension() -> None:
    mean, other, std = draw(3, 5), draw(3, 5) * 0.5, torch.tensor(0.7, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, std), Normal(other, std)).mean(dim=1)
    torch.testing.assert_close(gaussian_kl(mean, other, std), expected)
    assert not gaussian_kl(mean, mean, std).any()


def test_advantages_compare_a_sample_with_its_own_group_only() -> None:
    rewards = torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]], requires_grad=True)
    advantages = group_advantages(rewards)
    expected = torch.tensor([[-1.0, 0.0, 1.0]]) * 1.5**0.5
    torch.testing.assert_close(advantages, expected.expand(2, 3), atol=1e-3, rtol=0)
    assert not advantages.requires_grad


def test_a_group_of_equal_rewards_has_no_advantage() -> None:
    assert not group_advantages(torch.full((2, 4), 0.3)).any()


def test_before_the_first_update_the_ratio_is_one_and_the_gradient_is_reinforce() -> None:
    log_prob, advantage = draw(6).requires_grad_(), draw(6) + 0.2
    loss = clipped_policy_loss(log_prob, log_prob.detach(), advantage, 1e-4)
    torch.testing.assert_close(loss.detach(), -advantage.mean())
    loss.backward()
    torch.testing.assert_close(log_prob.grad, -advantage / 6)


@pytest.mark.parametrize(
    ("moved", "advantage", "teaches"), [(0.3, 1.0, False), (0.3, -1.0, True), (-0.3, 1.0, True), (-0.3, -1.0, False)]
)
def test_an_action_stops_to_teach_once_it_has_gone_the_right_way_far_enough(
    moved: float, advantage: float, teaches: bool
) -> None:
    log_prob = torch.tensor([moved], requires_grad=True)
    loss = clipped_policy_loss(log_prob, torch.zeros(1), torch.tensor([advantage]), clip_range=0.2)
    loss.backward()
    assert bool(log_prob.grad.any()) is teaches
    ratio = torch.tensor(moved).exp()
    expected = -advantage * (ratio if teaches else ratio.clamp(0.8, 1.2))
    torch.testing.assert_close(loss.detach(), expected)


def test_no_gradient_reaches_the_old_policy() -> None:
    old = torch.zeros(2, requires_grad=True)
    log_prob = torch.zeros(2, requires_grad=True)
    clipped_policy_loss(log_prob, old, torch.ones(2), 0.2).backward()
    assert old.grad is None
    assert log_prob.grad is not None


def test_advantages_do_not_change_with_the_scale_or_the_zero_of_the_rewards() -> None:
    rewards = draw(4, 8)
    for other in (rewards + 7.5, 20 * rewards, 0.3 * rewards - 2):
        torch.testing.assert_close(group_advantages(other), group_advantages(rewards), atol=1e-3, rtol=0)
