"""When two pictures are the same picture."""

import numpy as np
from numpy.typing import NDArray

ROUNDED_SHARE = 1e-3


def assert_same_picture(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> None:
    """The same pixels but for rounding: none is off by more than one level of 255, hardly any by that one."""
    assert ours.shape == theirs.shape
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.max() <= 1
    assert (difference > 0).mean() < ROUNDED_SHARE
