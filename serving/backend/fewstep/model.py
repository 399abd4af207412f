"""Triton's side of the `fewstep` backend: requests in, pictures out. Triton's Python stub loads this file.

A version is verified against `$RATS_TRUSTED_KEY` in the very process that loads it, right before loading.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from serving.drawing import Drawer, Job
from serving.package import verify_package
from serving.protocol import IMAGE, PROMPT, SEED, STEPS


class TritonPythonModel:
    """One instance of one version of a student."""

    def initialize(self, args: dict[str, str]) -> None:
        """Verify the version and load it; an exception here is Triton's reason for not serving it."""
        version_dir = Path(args["model_repository"]) / args["model_version"]
        package = verify_package(version_dir, Path(os.environ["RATS_TRUSTED_KEY"]))
        gpu = args["model_instance_kind"] == "GPU"
        device = f"cuda:{args['model_instance_device_id']}" if gpu else "cpu"
        self._drawer = Drawer(package.student, package.guidance_scale, device)
        self._steps = package.steps

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch: a bad request or one that its caller gave up gets an error, the others their pictures."""
        jobs = [self._job(request) for request in requests]
        drawn = iter(self._drawer.draw([job for job in jobs if isinstance(job, Job)]))
        return [
            _picture(next(drawn)) if isinstance(job, Job) else pb_utils.InferenceResponse(error=job) for job in jobs
        ]

    def _job(self, request: Any) -> Any:
        if request.is_cancelled():
            return pb_utils.TritonError("cancelled by its caller", pb_utils.TritonError.CANCELLED)
        prompt, seed, steps = (_scalar(request, name) for name in (PROMPT, SEED, STEPS))
        if int(steps) not in self._steps:
            return pb_utils.TritonError(
                f"{STEPS} is {steps}: this student draws in {self._steps} steps", pb_utils.TritonError.INVALID_ARG
            )
        return Job(prompt.decode(), int(seed), int(steps))


def _scalar(request: Any, name: str) -> Any:
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0]


def _picture(pixels: NDArray[np.uint8]) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor(IMAGE, pixels[None])])
