"""The gate and the shaping loss against float64 written out by hand, and the gradients that must not flow."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rats_train.losses.gate import hard_gate, reward_gate
from rats_train.losses.horizon import gated_horizon_loss, horizon_distance, shaping_loss

rewards = st.floats(-2, 2, width=32)


@given(teacher=rewards, student=rewards, tau=st.sampled_from([0.02, 0.05, 1.0]))
def test_gate_is_symmetric_and_half_at_equal_rewards(teacher: float, student: float, tau: float) -> None:
    t, s = torch.tensor([teacher]), torch.tensor([student])
    torch.testing.assert_close(reward_gate(t, s, tau) + reward_gate(s, t, tau), torch.ones(1))
    assert reward_gate(t, t, tau) == 0.5


def test_gate_opens_where_the_teacher_is_better() -> None:
    gate = reward_gate(torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.full((4,), 0.25), tau=0.05)
    assert (gate.diff() > 0).all()
    assert gate[1] < 0.5 < gate[2]
    torch.testing.assert_close(gate[3], torch.tensor(1 / (1 + np.exp(-3))).float())


def test_gate_is_a_number_to_the_gradient() -> None:
    teacher, student = torch.rand(3, requires_grad=True), torch.rand(3, requires_grad=True)
    assert not reward_gate(teacher, student, 0.05).requires_grad
    assert not hard_gate(teacher, student).requires_grad


def test_hard_gate_is_the_soft_one_at_no_temperature() -> None:
    teacher, student = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.2, 0.2, 0.2])
    assert hard_gate(teacher, student).tolist() == [0, 0, 1]
    unequal = teacher != student
    assert torch.equal(hard_gate(teacher, student)[unequal], reward_gate(teacher, student, 1e-6)[unequal])


def test_a_hard_gate_weighs_the_loss_of_worse_students_alone() -> None:
    student, teacher = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    result = gated_horizon_loss(
        student, teacher, torch.tensor([1.0, 0.0]), torch.full((2,), 0.5), 0.05, 1, 1, hard=True
    )
    torch.testing.assert_close(result.loss, result.distances[0].mean() / 2)


def by_hand(student: np.ndarray, teacher: np.ndarray, cosine_weight: float, l2_weight: float) -> np.ndarray:
    """Distances[B, H] in float64, one pair at a time."""
    distances = np.zeros(student.shape[:2])
    for b, h in np.ndindex(*distances.shape):
        s, t = student[b, h].astype(np.float64).ravel(), teacher[b, h].astype(np.float64).ravel()
        cosine = s @ t / np.sqrt((s @ s) * (t @ t))
        distances[b, h] = cosine_weight * (1 - cosine) + l2_weight * ((s - t) ** 2).mean()
    return distances


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 2.0]])
def test_loss_equals_float64_by_hand(dtype: torch.dtype, weights: list[float] | None) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(4, 3, 4, 8, 8, generator=generator).to(dtype) for _ in range(2))
    teacher_reward, student_reward = torch.rand(4, generator=generator), torch.rand(4, generator=generator)
    horizon_weights = None if weights is None else torch.tensor(weights)

    result = gated_horizon_loss(student, teacher, teacher_reward, student_reward, 0.1, 0.7, 1.3, horizon_weights)

    distances = by_hand(student.float().numpy(), teacher.float().numpy(), 0.7, 1.3)
    gate = 1 / (1 + np.exp((student_reward.double() - teacher_reward.double()).numpy() / 0.1))
    expected = (gate * (distances * np.array(weights or [1, 1, 1])).mean(axis=1)).mean()
    np.testing.assert_allclose(result.distances.numpy(), distances, rtol=1e-5)
    np.testing.assert_allclose(result.gate.numpy(), gate, rtol=1e-5)
    np.testing.assert_allclose(result.loss.item(), expected, rtol=1e-5)


def test_gradient_passes_gradcheck() -> None:
    student, teacher = torch.randn(2, 3, 5).double().requires_grad_(), torch.randn(2, 3, 5).double()
    teacher_reward, student_reward = torch.rand(2).double(), torch.rand(2).double()
    assert torch.autograd.gradcheck(
        lambda s: gated_horizon_loss(s, teacher, teacher_reward, student_reward, 0.1, 1.0, 1.0).loss, student
    )


def test_only_the_student_receives_gradient() -> None:
    student, teacher = torch.randn(2, 3, 5, requires_grad=True), torch.randn(2, 3, 5, requires_grad=True)
    teacher_reward, student_reward = torch.rand(2, requires_grad=True), torch.rand(2, requires_grad=True)
    result = gated_horizon_loss(student, teacher, teacher_reward, student_reward, 0.1, 1.0, 1.0)
    result.loss.backward()
    assert student.grad is not None
    assert (teacher.grad, teacher_reward.grad, student_reward.grad) == (None, None, None)
    assert not result.gate.requires_grad


def test_equal_trajectories_cost_nothing() -> None:
    x = torch.randn(2, 3, 4, 8, 8)
    assert gated_horizon_loss(x, x, torch.ones(2), torch.zeros(2), 0.05, 1.0, 1.0).loss.abs() < 1e-6


def test_each_part_sees_what_it_is_for() -> None:
    x = torch.randn(2, 16)
    torch.testing.assert_close(horizon_distance(2 * x, x, 1.0, 0.0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(horizon_distance(-x, x, 1.0, 0.0), torch.full((2,), 2.0))
    torch.testing.assert_close(horizon_distance(x + 3, x, 0.0, 1.0), torch.full((2,), 9.0))
    torch.testing.assert_close(shaping_loss(torch.tensor([[1.0, 3.0]])), torch.tensor([2.0]))
