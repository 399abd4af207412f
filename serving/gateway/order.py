"""What a request means: which student is to draw which pictures, and of which steps previews are shown."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from serving import protocol
from serving.gateway.errors import ApiError
from serving.gateway.image_request import ImageRequest
from serving.package.contents import TEACHER, Package
from serving.protocol import Format, Job


@dataclass(frozen=True)
class Order:
    """What a request means: one job a picture, with consecutive seeds; previews are shown of the steps `shown`."""

    package: Package
    jobs: list[Job]
    output_format: Format
    shown: frozenset[int]

    @property
    def steps(self) -> int:
        """Steps of every picture."""
        return self.jobs[0].steps

    @property
    def notes(self) -> list[str]:
        """What is new to the student in the prompt."""
        note = self.package.hints.note(self.jobs[0].prompt)
        return [note] if note else []


def place_order(packages: Mapping[str, Package], body: ImageRequest) -> Order:
    """What `body` asks of the students that are served.

    Raises:
        ApiError: none of them can draw that.
    """
    package = _package(packages, body)
    seed = secrets.randbelow(2**31) if body.seed is None else body.seed
    count = body.n or 1
    if seed + count - 1 > protocol.MAX_SEED:
        message = f"seed + n - 1 must be at most {protocol.MAX_SEED}: pictures have consecutive seeds"
        raise ApiError(400, message, param="seed", code="invalid_value")
    steps = _steps(package, body)
    shown = preview_steps(steps, body.partial_images or 0)
    jobs = [
        Job(
            body.prompt, each, steps, body.guidance_scale, body.negative_prompt or "", body.adapter or "",
            previews=bool(shown),
        )
        for each in range(seed, seed + count)
    ]  # fmt: skip
    return Order(package, jobs, _format(package, body), shown)


def preview_steps(steps: int, count: int) -> frozenset[int]:
    """Of which steps `count` previews are shown: evenly spread, never the last step, fewer if there are fewer steps."""
    if count >= steps - 1:
        return frozenset(range(1, steps))
    return frozenset(round(number * steps / (count + 1)) for number in range(1, count + 1))


def size_of(package: Package) -> str:
    """Width and height, as OpenAI writes them."""
    return f"{package.resolution.width}x{package.resolution.height}"


def _package(packages: Mapping[str, Package], body: ImageRequest) -> Package:
    name = body.model or _default_model(packages)
    if name not in packages:
        message = f"no model {name[:100]!r} here: choose from {', '.join(packages)}"
        raise ApiError(404, message, param="model", code="model_not_found")
    package = packages[name]
    size = size_of(package)
    if body.size not in (None, "auto", size):
        message = f"size must be {size!r}, which is what {name} draws, or 'auto'"
        raise ApiError(400, message, param="size", code="invalid_value")
    return package


def _default_model(packages: Mapping[str, Package]) -> str:
    """The first by name that is not the teacher."""
    return next((name for name in packages if name != TEACHER), TEACHER)


def _steps(package: Package, body: ImageRequest) -> int:
    steps = max(package.steps) if body.num_inference_steps is None else body.num_inference_steps
    if steps not in package.steps:
        message = f"num_inference_steps must be one of {', '.join(map(str, package.steps))}, not {steps}"
        raise ApiError(400, message, param="num_inference_steps", code="invalid_value")
    return steps


def _format(package: Package, body: ImageRequest) -> Format:
    """What was asked for; else PNG, and for a video the much smaller WebP."""
    if package.is_video and body.output_format == "jpeg":
        raise ApiError(400, "output_format must be 'webp' or 'png': a JPEG cannot move", param="output_format")
    return body.output_format or ("webp" if package.is_video else "png")
