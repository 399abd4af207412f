"""What people prefer: the Bradley-Terry model of two contestants, with ties, over votes on pairs of pictures.

The model gives each contestant a strength ``s``, and the first is preferred with probability

    p = s_1 / (s_1 + s_2)                                            (Bradley & Terry 1952, equation 1)

A tie counts as half a win for each, so that ``w`` wins, ``l`` losses and ``t`` ties have the likelihood
``p^(w + t/2) (1 - p)^(l + t/2)``, which is highest at ``p = (w + t/2) / n``. The difference of strengths on Elo's scale
is ``400 log10(p / (1 - p))``.

The unit of chance is the prompt, as everywhere here: votes on one prompt, by several people or on several seeds, are
averaged first. The interval is Wilson's (1927) for that many prompts. It stays inside [0, 1] and does not shrink to a
point when all votes agree, as a bootstrap does; ties vary less than it assumes, which makes it the wider.
"""

from collections.abc import Sequence
from math import log10, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rats_train.evaluation.bootstrap import Interval


class Preference(BaseModel):
    """How often people preferred the pictures of ``first`` to those of ``second``.

    Attributes:
        prompts: prompts with a vote.
        votes: the last vote of each voter on each pair.
        won, lost, tied: those votes, as ``first`` sees them.
        share: probability that ``first`` is preferred; ``ci95`` its interval.
        elo: its lead in strength; None where one side has every vote, which bounds no strength.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: str
    second: str
    prompts: int
    voters: int
    votes: int
    won: int
    lost: int
    tied: int
    share: float
    ci95: Interval
    elo: float | None
    elo_ci95: tuple[float | None, float | None]


def bradley_terry(points: Sequence[float], prompts: Sequence[int], level: float = 0.95) -> tuple[float, Interval, int]:
    """Probability that the first is preferred, its interval, and the number of prompts that it rests on.

    Args:
        points: one a vote: 1 for the first, 0 for the second, 0.5 for a tie.
        prompts: the prompt of each vote.
        level: of the interval.

    Raises:
        ValueError: there is no vote, or not one prompt a vote.
    """
    if not points or len(points) != len(prompts):
        raise ValueError(f"need votes, and a prompt for each: got {len(points)} and {len(prompts)}")
    _, index = np.unique(np.asarray(prompts), return_inverse=True)
    means: NDArray[np.float64] = np.bincount(index, weights=np.asarray(points)) / np.bincount(index)
    share, count = float(means.mean()), len(means)
    return share, wilson(share, count, level), count


def wilson(share: float, count: int, level: float = 0.95) -> Interval:
    """Wilson's interval of a share seen in ``count`` independent trials."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def elo(share: float) -> float | None:
    """Lead in strength of whoever is preferred with probability ``share``; None at 0 and 1."""
    # The ends of an interval miss 0 and 1 by rounding.
    return 400 * log10(share / (1 - share)) if 1e-9 < share < 1 - 1e-9 else None
