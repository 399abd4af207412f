"""A stand-in for an accelerator that pictures do not fill: a step takes as long for eight pictures as for one.

It is a slow one, so that the callers of a test, and the gateway, leave most of the one core that they share idle.
"""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serving.drawing.stepping import Sample, Stepper
from serving.package.contents import Package

STEP_SECONDS: Final = 0.4


class SimulatedDevice(Stepper):
    """A student whose steps take a fixed time, and whose every picture is the canary: it passes for healthy."""

    def __init__(self, package: Package, device: str) -> None:
        super().__init__(package, device)
        self._pixels = package.canary_pixels()

    def step(self, samples: Sequence[Sample]) -> None:
        """Wait, and move on."""
        time.sleep(STEP_SECONDS)
        for sample in samples:
            sample.step += 1

    def decode(self, sample: Sample) -> NDArray[np.uint8]:
        """The canary's pixels."""
        return self._pixels
