"""The gRPC side of asking for one picture, and Triton's failures sorted into the few that a caller can act on."""

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput
from tritonclient.grpc import aio as grpc_aio
from tritonclient.utils import InferenceServerException

from serving.protocol import IMAGE, PROMPT, SEED, STEPS


class RefusedError(Exception):
    """Triton is well, and will not draw this: the message says what is wrong with the request."""


class BusyError(Exception):
    """The queue is full, or the picture was not drawn in time: the same request may succeed in a moment."""


class BrokenError(Exception):
    """Triton or its stub is dead or stuck: nothing succeeds until it is repaired."""


async def draw_picture(
    client: grpc_aio.InferenceServerClient, model: str, prompt: str, seed: int, steps: int, timeout: float
) -> NDArray[np.uint8]:
    """One picture, uint8[H, W, 3], or video, uint8[T, H, W, 3], waiting at most `timeout` seconds.

    Raises:
        RefusedError, BusyError, BrokenError: it was not drawn.
    """
    inputs = [
        _tensor(PROMPT, "BYTES", np.array([[prompt.encode()]], dtype=object)),
        _tensor(SEED, "INT64", np.array([[seed]], dtype=np.int64)),
        _tensor(STEPS, "INT32", np.array([[steps]], dtype=np.int32)),
    ]
    try:
        result = await client.infer(model, inputs, client_timeout=timeout)
    except InferenceServerException as error:
        raise _sorted(error) from error
    pixels: NDArray[np.uint8] = result.as_numpy(IMAGE)[0]
    return pixels


def first_line(error: InferenceServerException) -> str:
    """Triton's reason in one line, without the Python traceback that may follow it."""
    line = (error.message() or str(error)).strip().splitlines()[0]
    return line.removeprefix("[request id: <id_unknown>] ")


def _sorted(error: InferenceServerException) -> Exception:
    reason, status = first_line(error), error.status()
    if "maximum queue size" in reason or "timeout expired" in reason or status == "StatusCode.DEADLINE_EXCEEDED":
        return BusyError(reason)
    if status == "StatusCode.INVALID_ARGUMENT":
        return RefusedError(reason)
    return BrokenError(reason)


def _tensor(name: str, kind: str, value: NDArray[np.generic]) -> InferInput:
    tensor = InferInput(name, list(value.shape), kind)
    tensor.set_data_from_numpy(value)
    return tensor
