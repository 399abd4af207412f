"""The gRPC side of asking for one picture, and Triton's failures sorted into the few that a caller can act on."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from opentelemetry import propagate
from tritonclient.grpc import InferInput
from tritonclient.grpc import aio as grpc_aio
from tritonclient.utils import InferenceServerException

from serving import protocol
from serving.protocol import Job


class RefusedError(Exception):
    """Triton is well, and will not draw this: the message says what is wrong with the request."""


class BusyError(Exception):
    """The queue is full, or the picture was not drawn in time: the same request may succeed in a moment."""


class BrokenError(Exception):
    """Triton or its stub is dead or stuck: nothing succeeds until it is repaired."""


@dataclass(frozen=True)
class Picture:
    """What an answer holds: `step` is how many steps it shows, fewer than the job's in a preview."""

    step: int
    content: NDArray[np.uint8] | bytes
    """Pixels uint8[H, W, 3], of a video uint8[T, H, W, 3]; the file's bytes if the job asked for a format."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The content, of a job that asked for no format."""
        assert not isinstance(self.content, bytes)
        return self.content


OnPreview = Callable[[Picture], None]


async def draw_picture(
    client: grpc_aio.InferenceServerClient, model: str, job: Job, timeout: float, on_preview: OnPreview | None = None
) -> Picture:
    """The finished picture, waiting at most `timeout` seconds. Cancelled, it frees the picture's slot within a step.

    Args:
        client: of the server; of the running event loop.
        model: name of the student.
        job: what to draw.
        timeout: seconds.
        on_preview: called with each preview, if the job asks for them.

    Raises:
        RefusedError, BusyError, BrokenError: it was not drawn.
    """
    stream = client.stream_infer(
        _once({"model_name": model, "inputs": _inputs(job)}),
        stream_timeout=timeout,
        headers=_trace(),
    )
    finished: Picture | Exception = BrokenError("the answer ended before the picture")
    try:
        # To the stream's own end, and not only to the picture: Triton keeps a version for streams that are cut off.
        async for result, error in stream:
            if error is not None:
                finished = _sorted(error)
                continue
            picture = _picture(result, job)
            if picture.step == job.steps:
                finished = picture
            elif on_preview is not None:
                on_preview(picture)
    except grpc.RpcError as error:
        late = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        raise (BusyError if late else BrokenError)(_one_line(error.details() or str(error.code()))) from error
    finally:
        stream.cancel()
    if isinstance(finished, Exception):
        raise finished
    return finished


def first_line(error: InferenceServerException) -> str:
    """Triton's reason in one line, without the Python traceback that may follow it."""
    return _one_line(error.message() or str(error))


def _one_line(reason: str) -> str:
    return reason.strip().splitlines()[0].removeprefix("[request id: <id_unknown>] ")


def _sorted(error: InferenceServerException) -> Exception:
    """What the backend says of a picture, by its first word; what Triton itself says is a fault."""
    line = first_line(error)
    kind, _, reason = line.partition(": ")
    if kind == "refused":
        return RefusedError(reason)
    if kind == "busy":
        return BusyError(reason)
    return BrokenError(line)


def _picture(result: Any, job: Job) -> Picture:
    step, name = int(result.as_numpy(protocol.STEP)[0]), protocol.FILE if job.format else protocol.IMAGE
    content: NDArray[np.uint8] = result.as_numpy(name)
    return Picture(step, content.tobytes() if job.format else content)


def _trace() -> dict[str, str]:
    """Names the trace that the request belongs to."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


async def _once(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield request


def _inputs(job: Job) -> list[InferInput]:
    inputs = [
        _tensor(protocol.PROMPT, "BYTES", job.prompt.encode()),
        _tensor(protocol.SEED, "INT64", np.int64(job.seed)),
        _tensor(protocol.STEPS, "INT32", np.int32(job.steps)),
    ]
    if job.negative_prompt:
        inputs.append(_tensor(protocol.NEGATIVE_PROMPT, "BYTES", job.negative_prompt.encode()))
    if job.guidance is not None:
        inputs.append(_tensor(protocol.GUIDANCE, "FP32", np.float32(job.guidance)))
    if job.adapter:
        inputs.append(_tensor(protocol.ADAPTER, "BYTES", job.adapter.encode()))
    if job.previews:
        inputs.append(_tensor(protocol.PREVIEWS, "BOOL", np.bool_(True)))
    if job.format is not None:
        inputs.append(_tensor(protocol.FORMAT, "BYTES", job.format.encode()))
    return inputs


def _tensor(name: str, kind: str, value: bytes | np.generic) -> InferInput:
    tensor = InferInput(name, [1], kind)
    tensor.set_data_from_numpy(np.array([value], dtype=object if kind == "BYTES" else None))
    return tensor
