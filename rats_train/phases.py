"""What a training step is doing right now: for its error when memory runs out, and for timings phase by phase.

with phase("decode"):
    images = model.decode(latents)
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_failed: list[str] = []
_timings: list[dict[str, float]] = []


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Name what is done inside; phases do not nest."""
    began = _now() if _timings else 0.0
    try:
        yield
    except BaseException:
        _failed[:] = [name]
        raise
    _failed.clear()
    for timings in _timings:
        timings[name] += _now() - began


def failed_phase() -> str | None:
    """The phase that the latest error came out of, if it came out of one."""
    return _failed[0] if _failed else None


@contextmanager
def timed_phases() -> Iterator[dict[str, float]]:
    """Seconds by phase of what is done inside, waiting for the accelerator at both ends of each."""
    timings: dict[str, float] = defaultdict(float)
    _timings.append(timings)
    try:
        yield timings
    finally:
        _timings.remove(timings)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
