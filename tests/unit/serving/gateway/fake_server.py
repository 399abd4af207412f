"""A model server without a model: the boundary to Triton, played in this process."""

import asyncio
from pathlib import Path

import numpy as np

from rats_train.resolution import Resolution
from serving.package.contents import Package
from serving.package.hints import PromptHints
from serving.protocol import Job
from serving.triton.client import Picture

SLOTS = 8


def package(folder: Path, model: str = "student", **changes) -> Package:
    """A packaged student that has no weights."""
    path = folder / model / "3"
    path.mkdir(parents=True, exist_ok=True)
    (path / "model.sig").write_text(model)
    facts = {
        "steps": [3, 5, 8],
        "guidance_scale": 1.0,
        "terminal_sigma": 0.25,
        "resolution": Resolution(height=64, width=96),
        "canary": Job("two owls", 0, 3),
        "hints": PromptHints.from_prompts(["two owls", "a fox above a frog"]),
        "adapters": ["sketch"],
    }
    return Package(path=path, model=model, **{**facts, **changes})


def pixels_of(package: Package, job: Job, step: int) -> np.ndarray:
    """A colour for the seed, with bands that show how many steps are done."""
    height, width = package.resolution.height, package.resolution.width
    frames = (package.resolution.frames,) if package.is_video else ()
    rng = np.random.default_rng(job.seed)
    pixels = np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (*frames, height, width, 3)).copy()
    pixels[..., : width * step // job.steps, :] //= 2
    if frames:
        pixels[:, 0, 0, 0] = np.arange(*frames)
    return pixels


class FakeServer:
    """Draws bands, and notes what was asked and given up.

    It takes `step_seconds` a step, waits before `pause_at_step` for as long as it is set, and fails with `failure`
    after `fail_at_step` steps; the picture of `fail_seed` alone, if it is set.
    """

    def __init__(self, packages: list[Package]) -> None:
        self.packages = {each.model: each for each in packages}
        self.step_seconds = 0.0
        self.pause_at_step = 0
        self.failure: Exception | None = None
        self.fail_at_step = 0
        self.fail_seed: int | None = None
        self.jobs: list[Job] = []
        self.given_up: list[Job] = []
        self.in_flight = 0

    async def draw(self, model, job, timeout, on_preview=None):
        self.jobs.append(job)
        self.in_flight += 1
        try:
            for step in range(1, job.steps + 1):
                if self.failure is not None and step > self.fail_at_step and self.fail_seed in (None, job.seed):
                    raise self.failure
                await asyncio.sleep(self.step_seconds)
                while step == self.pause_at_step:
                    await asyncio.sleep(0.01)
                if step < job.steps and job.previews:
                    on_preview(Picture(step, pixels_of(self.packages[model], job, step)))
            return Picture(job.steps, pixels_of(self.packages[model], job, job.steps))
        except asyncio.CancelledError:
            self.given_up.append(job)
            raise
        finally:
            self.in_flight -= 1

    def slots(self, model):
        return SLOTS

    async def prove(self, model, timeout):
        if self.failure is not None:
            raise self.failure
