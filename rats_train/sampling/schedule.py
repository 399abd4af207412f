"""The noise levels that student and teacher are drawn on: those of the stock diffusers scheduler, so that
stock diffusers walks the same path."""

from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from rats_train.models.schedulers import student_scheduler, teacher_scheduler


def student_sigmas(steps: int, terminal_sigma: float) -> Tensor:
    """Sigmas[steps + 1], float32, of a few-step student: ``linspace(1, terminal_sigma, steps)``, then 0.

    Raises:
        ValueError: fewer than two steps, which cannot both start at 1 and end at ``terminal_sigma``.
    """
    if steps < 2:
        raise ValueError(f"A schedule from 1 to terminal_sigma needs at least 2 steps, not {steps}.")
    return _sigmas(student_scheduler(terminal_sigma), steps)


def teacher_sigmas(steps: int) -> Tensor:
    """Sigmas[steps + 1], float32, of the stock schedule without shift: ``linspace(1, 0.001, steps)``, then 0."""
    return _sigmas(teacher_scheduler(), steps)


def _sigmas(scheduler: FlowMatchEulerDiscreteScheduler, steps: int) -> Tensor:
    scheduler.set_timesteps(steps)
    sigmas: Tensor = scheduler.sigmas
    return sigmas
