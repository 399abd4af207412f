"""A stand-in for an accelerator that pictures do not fill: a step takes as long for eight pictures as for one.

`$RATS_SIMULATED_STEP_MS` says how long: of what a benchmark could say, only the environment reaches the backend.
"""

import os
import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from serving.drawing.stepping import Sample, Stepper
from serving.package.contents import Package

STEP_MS: Final = "RATS_SIMULATED_STEP_MS"


class SimulatedDevice(Stepper):
    """A student whose steps take a fixed time, and whose every picture is the canary: it passes for healthy."""

    def __init__(self, package: Package, device: str) -> None:
        super().__init__(package, device)
        self._pixels, self._seconds = package.canary_pixels(), float(os.environ[STEP_MS]) / 1000

    def step(self, samples: Sequence[Sample]) -> None:
        """Wait, and move on."""
        time.sleep(self._seconds)
        for sample in samples:
            sample.step += 1

    def decode(self, sample: Sample) -> NDArray[np.uint8]:
        """The canary's pixels."""
        return self._pixels
