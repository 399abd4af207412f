"""A request's pictures: which ones it means, and drawing them all at once, given up together."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial

from serving import protocol
from serving.gateway.errors import ApiError
from serving.gateway.finishing import Finisher
from serving.gateway.image_request import ImageRequest
from serving.gateway.model_server import ModelServer
from serving.package.contents import TEACHER, Package
from serving.protocol import Format, Job
from serving.triton.client import BrokenError, BusyError, Picture, RefusedError

REQUEST_SECONDS = 120

_PARAMETERS = {
    protocol.STEPS: "num_inference_steps",
    protocol.NEGATIVE_PROMPT: "negative_prompt",
    protocol.GUIDANCE: "guidance_scale",
    protocol.ADAPTER: "adapter",
}


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


@dataclass(frozen=True)
class Drawn:
    """Picture number `index` of an order after `step` steps: its file, None if it was withheld."""

    index: int
    job: Job
    step: int
    file: bytes | None

    @property
    def final(self) -> bool:
        """Whether it is the picture, not a preview."""
        return self.step == self.job.steps


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


async def drawn(server: ModelServer, order: Order, finisher: Finisher) -> AsyncIterator[Drawn]:
    """The pictures of an order and their previews as they come; closed early, all that is left is given up.

    Raises:
        ApiError: one of them cannot be drawn; the others are given up.
    """
    arrived: asyncio.Queue[tuple[int, Picture] | Drawn | Exception] = asyncio.Queue()

    async def finished(index: int, picture: Picture) -> Drawn:
        job = order.jobs[index]
        file = await asyncio.to_thread(finisher.file, order.package, job, picture, order.output_format)
        return Drawn(index, job, picture.step, file)

    async def draw(index: int, job: Job) -> None:
        on_preview = partial(_put_preview, arrived, index, order.shown)
        try:
            picture = await server.draw(order.package.model, job, REQUEST_SECONDS, on_preview)
            arrived.put_nowait(await finished(index, picture))
        except Exception as error:  # told to whoever waits for the pictures
            arrived.put_nowait(error)

    tasks = [asyncio.create_task(draw(index, job)) for index, job in enumerate(order.jobs)]
    left = len(tasks)
    try:
        while left:
            item = await arrived.get()
            if isinstance(item, Exception):
                raise _explained(item, order.package.model) from item
            result = item if isinstance(item, Drawn) else await finished(*item)
            left -= result.final
            yield result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _put_preview(
    arrived: asyncio.Queue[tuple[int, Picture] | Drawn | Exception], index: int, shown: frozenset[int], picture: Picture
) -> None:
    if picture.step in shown:
        arrived.put_nowait((index, picture))


def _explained(error: Exception, model: str) -> Exception:
    """A failure of the model server as an answer; a fault of ours stays what it is."""
    if isinstance(error, RefusedError):
        return _refusal(str(error))
    if isinstance(error, BusyError):
        message = f"too many pictures are waiting ({error}): try again in a moment"
        return ApiError(429, message, code="queue_full", retry_after=1)
    if isinstance(error, BrokenError):
        message = f"{model} cannot draw right now ({error}): it is being repaired, try again in some seconds"
        return ApiError(503, message, code="model_unavailable", retry_after=5)
    return error


def _refusal(reason: str) -> ApiError:
    """The model server's reason, with its names for parameters turned into ours."""
    first, _, rest = reason.partition(" ")
    param = _PARAMETERS.get(first)
    return ApiError(400, f"{param} {rest}" if param else reason, param=param, code="invalid_value")


def _package(packages: Mapping[str, Package], body: ImageRequest) -> Package:
    name = body.model or default_model(packages)
    if name not in packages:
        message = f"no model {name[:100]!r} here: choose from {', '.join(packages)}"
        raise ApiError(404, message, param="model", code="model_not_found")
    package = packages[name]
    size = size_of(package)
    if body.size not in (None, "auto", size):
        message = f"size must be {size!r}, which is what {name} draws, or 'auto'"
        raise ApiError(400, message, param="size", code="invalid_value")
    return package


def default_model(packages: Mapping[str, Package]) -> str:
    """The first by name that is not the teacher."""
    return next((name for name in packages if name != TEACHER), TEACHER)


def size_of(package: Package) -> str:
    """Width and height, as OpenAI writes them."""
    return f"{package.resolution.width}x{package.resolution.height}"


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
