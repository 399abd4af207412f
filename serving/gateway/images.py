"""The route that draws, and the one from which pictures asked for as URLs are fetched."""

import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from serving.gateway.auth import ApiKey, Caller
from serving.gateway.disconnect import ClientLeftError, unless_left
from serving.gateway.errors import ApiError
from serving.gateway.generation import Drawn, drawn
from serving.gateway.idempotency import IdempotencyKey
from serving.gateway.image_request import Failure, Image, ImageRequest, Images
from serving.gateway.observation import CLIENT_LEFT, GENERATIONS
from serving.gateway.order import Order, place_order, size_of
from serving.gateway.recent import KEPT_SECONDS
from serving.gateway.state import Gateway, TheGateway
from serving.gateway.streaming import WITHHELD, events

router = APIRouter()
"""For callers with a key, where keys are asked for."""
open_router = APIRouter()
"""Open to everybody who knows a picture's address, which is a secret of its own."""

_JSON, _EVENTS = "application/json", "text/event-stream"
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Images, "content": {_EVENTS: {"schema": {"type": "string"}}}},
    **{status: {"model": Failure} for status in (400, 401, 404, 409, 413, 422, 429, 500, 503)},
}


async def _request_scope() -> AsyncIterator[AsyncExitStack]:
    """What lasts as long as a request, a streamed answer included, and ends with it however it ends."""
    async with AsyncExitStack() as stack:
        yield stack


RequestScope = Annotated[AsyncExitStack, Depends(_request_scope)]


@router.post(GENERATIONS, responses=_RESPONSES)
async def generate(
    body: ImageRequest,
    request: Request,
    caller: Caller,
    gateway: TheGateway,
    scope: RequestScope,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Draw `n` pictures of a prompt, with the seeds `seed`, `seed` + 1, ..."""
    began = time.perf_counter()
    _note(request, gateway, body)
    if body.stream and body.response_format == "url":
        message = "response_format must be 'b64_json' in a stream: it carries the pictures themselves"
        raise ApiError(400, message, param="response_format", code="invalid_value")
    slot = scope.enter_context(gateway.answers.once(caller, idempotency_key, body))
    if (replay := slot.replay()) is not None:
        return replay
    order = place_order(gateway.server.packages, body)
    request.state.facts |= {"model": order.package.model, "steps": order.steps}
    scope.enter_context(gateway.drain.work())
    pictures = await scope.enter_async_context(aclosing(_admitted(gateway, caller, order, began)))
    try:
        if body.stream:
            first = await unless_left(request, anext(pictures))
            stream = events(order, first, pictures, began, lambda content: slot.keep(content, _EVENTS))
            return StreamingResponse(stream, media_type=_EVENTS, headers={"Cache-Control": "no-cache"})
        found = await unless_left(request, _finished(pictures))
    except ClientLeftError:
        request.state.facts["status"] = CLIENT_LEFT
        return Response(status_code=CLIENT_LEFT)
    answer = _answer(order, [_image(each, order, body, gateway, request) for each in found], began)
    slot.keep(answer, _JSON)
    return Response(answer, media_type=_JSON)


@open_router.get("/v1/images/{name}/content")
async def content(name: str, gateway: TheGateway) -> Response:
    """A picture that was asked for as a URL."""
    found = gateway.recent.get(name)
    if found is None:
        raise ApiError(
            404, f"no such picture: those asked for as URLs are kept for {KEPT_SECONDS // 60} minutes at most"
        )
    return Response(found[0], media_type=found[1])


async def _finished(pictures: AsyncIterator[Drawn]) -> list[Drawn]:
    """All pictures, without their previews, in order.

    Raises:
        ApiError: none of them may be seen.
    """
    found = sorted([each async for each in pictures if each.final], key=lambda each: each.index)
    if all(each.file is None for each in found):
        message = "what was drawn for this prompt is not fit to be seen: change the prompt or the seed"
        raise ApiError(400, message, param="prompt", code=WITHHELD)
    return found


def _answer(order: Order, images: list[Image], began: float) -> bytes:
    answer = Images(
        created=int(time.time()),
        data=images,
        output_format=order.output_format,
        size=size_of(order.package),
        model=order.package.model,
        num_inference_steps=order.steps,
        inference_time_s=round(time.perf_counter() - began, 4),
        notes=order.notes,
    )
    return answer.model_dump_json(exclude_unset=True).encode()


def _image(each: Drawn, order: Order, body: ImageRequest, gateway: Gateway, request: Request) -> Image:
    if each.file is None:
        return Image(seed=each.job.seed, withheld=WITHHELD)
    if body.response_format != "url":
        return Image(b64_json=base64.b64encode(each.file).decode(), seed=each.job.seed)
    try:
        name = gateway.recent.add(each.file, f"image/{order.output_format}")
    except ValueError as error:
        message = f"a file of {len(each.file)} bytes is too large to be kept: ask for response_format 'b64_json'"
        raise ApiError(400, message, param="response_format") from error
    return Image(url=str(request.url_for("content", name=name)), seed=each.job.seed)


async def _admitted(gateway: Gateway, caller: ApiKey | None, order: Order, began: float) -> AsyncGenerator[Drawn, None]:
    """The pictures of an order if there is room for them, which is free again as soon as the last is there.

    Raises:
        ApiError: there is none, or they cannot be drawn.
    """
    model, server = order.package.model, gateway.server
    with (
        gateway.limits.admitted(caller, model, len(order.jobs), server.slots(model)),
        gateway.metrics.waiting.track_inprogress(),
    ):
        async with aclosing(_counted(gateway, order, began)) as pictures:
            async for each in pictures:
                yield each


async def _counted(gateway: Gateway, order: Order, began: float) -> AsyncGenerator[Drawn, None]:
    """The pictures of an order, counted; the request's time is taken when the last is there."""
    labels = (order.package.model, order.steps)
    async with aclosing(drawn(gateway.server, order, gateway.settings.finisher)) as pictures:
        async for each in pictures:
            if each.final:
                gateway.metrics.pictures.labels(*labels).inc()
            if each.file is None:
                gateway.metrics.withheld.labels(order.package.model).inc()
            yield each
    gateway.metrics.seconds.labels(*labels).observe(time.perf_counter() - began)


def _note(request: Request, gateway: Gateway, body: ImageRequest) -> None:
    request.state.facts |= {"n": body.n or 1, "stream": bool(body.stream)}
    if body.user:
        request.state.facts["user"] = body.user
    if gateway.settings.log_prompts:
        request.state.facts["prompt"] = body.prompt
