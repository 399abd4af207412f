"""Schedules are the stock scheduler's, and horizons pair evaluations at the nearest noise level."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from rats_train.models.schedule import Schedule
from rats_train.sampling.horizons import align_horizons


@pytest.mark.parametrize("steps", [2, 3, 5, 8, 50])
@pytest.mark.parametrize("terminal_sigma", [0.1, 0.25, 0.5])
def test_student_schedule_is_linear_to_the_terminal_sigma_then_zero(steps: int, terminal_sigma: float) -> None:
    sigmas = Schedule().ending_at(terminal_sigma).sigmas(steps)
    stock = FlowMatchEulerDiscreteScheduler(shift=1.0, shift_terminal=terminal_sigma)
    stock.set_timesteps(steps)
    assert torch.equal(sigmas, stock.sigmas)
    assert sigmas.dtype == torch.float32
    torch.testing.assert_close(sigmas[:-1], torch.linspace(1, terminal_sigma, steps))
    assert sigmas[-1] == 0


@pytest.mark.parametrize("steps", [2, 3, 5, 8, 50])
def test_teacher_schedule_is_the_stock_one(steps: int) -> None:
    stock = FlowMatchEulerDiscreteScheduler(shift=1.0)
    stock.set_timesteps(steps)
    assert torch.equal(Schedule().sigmas(steps), stock.sigmas)
    torch.testing.assert_close(Schedule().sigmas(steps)[:-1], torch.linspace(1, 0.001, steps))


def test_one_step_has_no_schedule() -> None:
    with pytest.raises(ValueError, match="at least 2 steps"):
        Schedule().ending_at(0.25).sigmas(1)


@pytest.mark.parametrize(("student_steps", "teacher_steps"), [(2, 50), (5, 50), (10, 50), (25, 50), (8, 8)])
def test_uniform_schedules_that_divide_align_at_multiples(student_steps: int, teacher_steps: int) -> None:
    aligned = align_horizons(torch.linspace(1, 0, student_steps + 1), torch.linspace(1, 0, teacher_steps + 1))
    assert aligned.tolist() == [k * teacher_steps // student_steps for k in range(student_steps)]


@pytest.mark.parametrize("steps", [3, 5, 8])
def test_horizons_are_the_nearest_evaluations(steps: int) -> None:
    student, teacher = Schedule().ending_at(0.25).sigmas(steps), Schedule().sigmas(50)
    aligned = align_horizons(student, teacher)
    assert aligned.dtype == torch.long
    gap = (teacher[aligned] - student[:-1]).abs()
    assert torch.equal(gap, (teacher[None, :-1] - student[:-1, None]).abs().min(dim=1).values)
    assert (aligned.diff() > 0).all()
    assert aligned[0] == 0


def test_no_horizon_lies_at_the_closing_zero_where_nothing_is_predicted() -> None:
    assert align_horizons(torch.tensor([1.0, 0.01, 0.0]), torch.tensor([1.0, 0.5, 0.0])).tolist() == [0, 1]


def test_a_tie_goes_to_the_noisier_step() -> None:
    assert align_horizons(torch.tensor([0.75, 0.0]), torch.tensor([1.0, 0.5, 0.0])).tolist() == [0]
