"""Drawing the pictures of an order all at once; they are given up together."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial

from serving import protocol
from serving.gateway.errors import ApiError
from serving.gateway.finishing import Finisher
from serving.gateway.model_server import ModelServer
from serving.gateway.order import Order
from serving.protocol import Job
from serving.triton.client import BrokenError, BusyError, Picture, RefusedError

REQUEST_SECONDS = 120

_PARAMETERS = {
    protocol.STEPS: "num_inference_steps",
    protocol.NEGATIVE_PROMPT: "negative_prompt",
    protocol.GUIDANCE: "guidance_scale",
    protocol.ADAPTER: "adapter",
}


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


async def drawn(server: ModelServer, order: Order, finisher: Finisher) -> AsyncGenerator[Drawn, None]:
    """The pictures of an order and their previews as they come; closed early, all that is left is given up.

    Raises:
        ApiError: one of them cannot be drawn; the others are given up.
    """
    drawing = _Drawing(server, order, finisher)
    tasks = [asyncio.create_task(drawing.draw(index)) for index in range(len(order.jobs))]
    left = len(tasks)
    try:
        while left:
            result = await drawing.next()
            left -= result.final
            yield result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Drawing:
    """The pictures of an order on their way; previews are made into files only once somebody asks for the next."""

    def __init__(self, server: ModelServer, order: Order, finisher: Finisher) -> None:
        self._server, self._order, self._finisher = server, order, finisher
        self._arrived: asyncio.Queue[tuple[int, Picture] | Drawn | Exception] = asyncio.Queue()

    async def draw(self, index: int) -> None:
        """Draw picture number `index`, and put down what arrives, a failure included."""
        model, job, on_preview = self._order.package.model, self._order.jobs[index], partial(self._put_preview, index)
        try:
            picture = await self._server.draw(model, job, REQUEST_SECONDS, on_preview)
            self._arrived.put_nowait(await self._finished(index, picture))
        except Exception as error:  # told to whoever waits for the pictures
            self._arrived.put_nowait(error)

    async def next(self) -> Drawn:
        """What arrives next, of whichever picture.

        Raises:
            ApiError: one of them cannot be drawn.
        """
        item = await self._arrived.get()
        if isinstance(item, Exception):
            raise _explained(item, self._order.package.model) from item
        return item if isinstance(item, Drawn) else await self._finished(*item)

    def _put_preview(self, index: int, picture: Picture) -> None:
        if picture.step in self._order.shown:
            self._arrived.put_nowait((index, picture))

    async def _finished(self, index: int, picture: Picture) -> Drawn:
        order, job = self._order, self._order.jobs[index]
        file = await asyncio.to_thread(self._finisher.file, order.package, job, picture, order.output_format)
        return Drawn(index, job, picture.step, file)


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
