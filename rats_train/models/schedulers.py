"""The scheduler settings that teacher and student directories carry."""

from diffusers import FlowMatchEulerDiscreteScheduler


def teacher_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Evenly spaced sigmas from 1 to 0.001, then 0."""
    return FlowMatchEulerDiscreteScheduler(shift=1.0)


def student_scheduler(terminal_sigma: float) -> FlowMatchEulerDiscreteScheduler:
    """Evenly spaced sigmas from 1 to ``terminal_sigma``, then 0: the last step is not wasted next to 0."""
    return FlowMatchEulerDiscreteScheduler(shift=1.0, shift_terminal=terminal_sigma)
