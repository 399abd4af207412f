"""Triton's side of the `fewstep` backend: requests in, pictures out. Triton's Python stub loads this file.

A version is verified against `$RATS_TRUSTED_KEY` in the very process that loads it, right before loading, and draws its
canary before Triton may call it ready: a version that cannot never replaces one that can.
"""

import os
from pathlib import Path
from typing import Any, cast

import triton_python_backend_utils as pb_utils

from serving.backend.fewstep.answers import Answers
from serving.backend.fewstep.metrics import Metrics
from serving.drawing.draw import draw
from serving.drawing.loop import StepLoop
from serving.drawing.stepping import Stepper
from serving.package.contents import Package
from serving.package.verification import verify_package
from serving.protocol import ADAPTER, FORMAT, GUIDANCE, NEGATIVE_PROMPT, PREVIEWS, PROMPT, SEED, STEPS, Format, Job


class TritonPythonModel:
    """One instance of one version of a student."""

    def initialize(self, args: dict[str, str]) -> None:
        """Verify the version, load it, warm it up and draw the canary; an exception is Triton's reason not to serve."""
        version_dir = Path(args["model_repository"]) / args["model_version"]
        package = verify_package(version_dir, Path(os.environ["RATS_TRUSTED_KEY"]))
        gpu = args["model_instance_kind"] == "GPU"
        stepper = self.load(package, f"cuda:{args['model_instance_device_id']}" if gpu else "cpu")
        (canary,) = draw(stepper, [package.canary])
        package.check_canary(canary)
        self._loop, self._answers = StepLoop(stepper), Answers()
        self._metrics = Metrics(self._loop.tally, package.model, package.version)

    def load(self, package: Package, device: str) -> Stepper:
        """What takes the steps."""
        return Stepper(package, device)

    def execute(self, requests: list[Any]) -> None:
        """Hand requests to the loop, and return at once; answers are sent when they are there."""
        for request in requests:
            answer = self._answers.to(request.get_response_sender())
            try:
                job = _job(request)
            except ValueError as error:
                answer.fail("refused", str(error))
            else:
                self._loop.submit(job, answer)

    def finalize(self) -> None:
        """Draw what was accepted, then end."""
        self._loop.close()
        self._answers.close()
        self._metrics.close()


def _job(request: Any) -> Job:
    given = {name: _value(request, name) for name in (NEGATIVE_PROMPT, GUIDANCE, ADAPTER, PREVIEWS, FORMAT)}
    return Job(
        prompt=_text(_value(request, PROMPT)),
        seed=int(_value(request, SEED)),
        steps=int(_value(request, STEPS)),
        guidance=None if given[GUIDANCE] is None else float(given[GUIDANCE]),
        negative_prompt=_text(given[NEGATIVE_PROMPT]),
        adapter=_text(given[ADAPTER]),
        previews=bool(given[PREVIEWS]),
        format=cast(Format | None, _text(given[FORMAT]) or None),  # a job refuses others
    )


def _value(request: Any, name: str) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy().reshape(-1)[0]


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode()
