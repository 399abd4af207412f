"""How the learning rate runs over a training."""

import math


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """The rate of ``step`` (from 0) of ``steps``: a linear warm-up, then a cosine down to one hundredth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * progress)))
