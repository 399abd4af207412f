"""Waiting for what another thread or process brings about."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 5) -> None:
    """Return once `condition` holds; an AssertionError that names `what` if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} not within {seconds} s"
        time.sleep(0.01)
