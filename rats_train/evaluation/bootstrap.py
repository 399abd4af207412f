"""Paired bootstrap intervals that treat a prompt as the unit of chance.

Images of one prompt resemble each other, so resampling images would promise more than the data hold. Whole prompts
are drawn with replacement instead (a cluster bootstrap), and both sides of a comparison always lose or keep the same
prompts, which is what makes the comparison paired. The result depends on the numbers and the seed alone.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A mean and its bootstrap interval, in the unit of the values it came from."""

    value: float
    low: float
    high: float


def bootstrap_mean(
    values: Values, clusters: NDArray[np.int64], *, samples: int, seed: int, level: float = 0.95
) -> Estimate:
    """Mean of ``values[N]`` with a percentile interval over resampled clusters.

    Args:
        values: one number an image (or a prompt).
        clusters: ``[N]`` the prompt index of each value.
        samples: how many times the prompts are resampled.
        seed: seed of the resampling; the same seed and number of prompts draw the same prompts for every metric.
        level: share of the resampled means that the interval covers.

    Raises:
        ValueError: the two arrays differ in length or are empty.
    """
    if len(values) != len(clusters) or len(values) == 0:
        raise ValueError(f"need as many clusters as values, and at least one: got {len(values)} and {len(clusters)}")
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.bincount(index, weights=values)
    counts = np.bincount(index).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(samples, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(float(np.mean(values)), float(low), float(high))


def paired_bootstrap(
    ours: Values, theirs: Values, clusters: NDArray[np.int64], *, samples: int, seed: int, level: float = 0.95
) -> Estimate:
    """Mean of ``ours - theirs`` with its interval; row ``i`` of both holds the same prompt and the same seed.

    Swapping the two sides turns the estimate and its interval around zero exactly.

    Raises:
        ValueError: the sides differ in length, so they cannot be paired.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"cannot pair {len(ours)} values with {len(theirs)}")
    return bootstrap_mean(ours - theirs, clusters, samples=samples, seed=seed, level=level)


def resampled_means(values: Values, *, samples: int, seed: int) -> Values:
    """Means ``[samples, M]`` of ``values[M, P]`` over resampled prompts, the same prompts for all M rows.

    The draws of a seed are those of `bootstrap_mean`. Turning the sign of a row turns that of its means exactly.
    """
    return _shares(values.shape[1], samples, seed) @ values.T


@lru_cache(maxsize=2)
def _shares(prompts: int, samples: int, seed: int) -> Values:
    """How much each prompt weighs in each resample, ``[samples, prompts]``."""
    drawn = np.random.default_rng(seed).integers(prompts, size=(samples, prompts))
    rows = np.arange(samples)[:, None] * prompts
    counts = np.bincount((rows + drawn).ravel(), minlength=samples * prompts)
    return counts.reshape(samples, prompts) / prompts
