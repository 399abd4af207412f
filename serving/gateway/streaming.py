"""A request's pictures as server-sent events: previews while they are drawn, each picture as it is done."""

import base64
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

from fastapi.sse import format_sse_event

from serving.gateway.errors import ApiError
from serving.gateway.generation import Drawn
from serving.gateway.image_request import ImageEvent
from serving.gateway.order import Order, size_of

WITHHELD = "content_policy_violation"


async def events(
    order: Order, first: Drawn, others: AsyncIterator[Drawn], began: float, done: Callable[[bytes], None]
) -> AsyncIterator[bytes]:
    """The events of an order whose first picture or preview is there already.

    Args:
        order: what was asked for.
        first: what came first; errors before it are ordinary answers.
        others: what comes after it.
        began: `time.perf_counter()` when the request came.
        done: told all events, if the last picture was reached.
    """
    sent, previews = [], Counter[int]()
    try:
        async for each in _chain(first, others):
            if each.file is None and not each.final:
                continue
            sent.append(_event(order, each, previews[each.index], began))
            previews[each.index] += not each.final
            yield sent[-1]
    except ApiError as error:  # too late for a status
        yield format_sse_event(event="error", data_str=bytes(error.response().body).decode())
        return
    done(b"".join(sent))


async def _chain(first: Drawn, others: AsyncIterator[Drawn]) -> AsyncIterator[Drawn]:
    yield first
    async for each in others:
        yield each


def _event(order: Order, drawn: Drawn, preview: int, began: float) -> bytes:
    event = ImageEvent(
        type="image_generation.completed" if drawn.final else "image_generation.partial_image",
        b64_json=None if drawn.file is None else base64.b64encode(drawn.file).decode(),
        created_at=int(time.time()),
        output_format=order.output_format,
        size=size_of(order.package),
        partial_image_index=None if drawn.final else preview,
        index=drawn.index,
        seed=drawn.job.seed,
        step=drawn.step,
        num_inference_steps=order.steps,
        model=order.package.model,
        elapsed_s=round(time.perf_counter() - began, 4),
        withheld=WITHHELD if drawn.file is None else None,
        notes=order.notes if drawn.final else [],
    )
    return format_sse_event(event=event.type, data_str=event.model_dump_json())
