"""How the learning rate runs over a training."""

import math


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """The rate of ``step`` (from 0) of ``steps``: a linear warm-up, then a cosine down to one hundredth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress)))


def stage_multiple(step: int, steps: int, first: int, last: int) -> float:
    """What makes the rate of ``step`` of ``steps`` that of a training of its own from step ``first`` to ``last``."""
    own = learning_rate(step - first, last - first, 1.0, (last - first) // 20)
    return own / learning_rate(step, steps, 1.0, steps // 20)
