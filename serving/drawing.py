"""Pictures from a packaged student: what the `fewstep` backend runs, and what packaging draws its canary with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rats_train.models.load import load_model
from rats_train.sampling.draw import draw, to_uint8

_CPU_ROWS = 1
"""Pictures computed together on a CPU. Its convolutions and vector products round differently in a batch than alone
(up to 6e-6, some pixels of a picture), so each picture is drawn alone: its pixels never depend on its company."""


@dataclass(frozen=True)
class Job:
    """One picture to draw."""

    prompt: str
    seed: int
    steps: int


class Drawer:
    """A loaded student."""

    def __init__(self, student: Path, guidance_scale: float, device: str = "cpu") -> None:
        self._model, self._guidance_scale = load_model(student).to(device), guidance_scale
        self._on_cpu = device == "cpu"

    def draw(self, jobs: Sequence[Job]) -> list[NDArray[np.uint8]]:
        """Pixels uint8[H, W, 3] of each job, of a video uint8[T, H, W, 3], in order; those of one step count together.

        The pixels are those that stock diffusers draws for the same prompt, steps, seed and guidance scale.
        """
        pictures: dict[int, NDArray[np.uint8]] = {}
        for steps in sorted({job.steps for job in jobs}):
            rows = [row for row, job in enumerate(jobs) if job.steps == steps]
            images = draw(
                self._model,
                [jobs[row].prompt for row in rows],
                [jobs[row].seed for row in rows],
                sigmas=self._model.sigmas(steps),
                guidance_scale=self._guidance_scale,
                batch_size=_CPU_ROWS if self._on_cpu else len(rows),
            )
            pictures.update(zip(rows, to_uint8(images), strict=True))
        return [pictures[row] for row in range(len(jobs))]
