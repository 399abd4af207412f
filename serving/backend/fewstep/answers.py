"""Sends what the loop tells to the callers of requests, and watches which of them have given up.

Whether a caller gave up is known to the server's process, and asking it costs more than a step of a small model: so a
thread asks on behalf of all, and the loop looks at what it found.
"""

import threading
from typing import Any, ClassVar

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from serving.protocol import FILE, IMAGE, STEP, Failure

_POLL_SECONDS = 0.02


class Answer:
    """The answer to one request, as `serving.drawing.loop` gives it.

    Triton crashes when a sender is asked for cancellation while, or after, it sends its last response: hence the lock.
    """

    # Names, because Triton fills its module in after this one is imported.
    _CODES: ClassVar[dict[Failure, str]] = {
        "refused": "INVALID_ARG",
        "busy": "UNAVAILABLE",
        "cancelled": "CANCELLED",
        "failed": "INTERNAL",
    }

    def __init__(self, sender: Any) -> None:
        self._sender, self._cancelled, self.ended = sender, False, False
        self._lock = threading.Lock()

    def cancelled(self) -> bool:
        """Whether the caller had given up when last asked for."""
        return self._cancelled

    def look(self) -> None:
        """Ask the server whether the caller gave up."""
        with self._lock:
            if not self.ended and not self._cancelled:
                self._cancelled = bool(self._sender.is_cancelled())

    def show(self, step: int, picture: NDArray[np.uint8] | bytes, *, final: bool) -> None:
        """Send pixels or a file."""
        file = isinstance(picture, bytes)
        content = np.frombuffer(picture, np.uint8) if file else picture
        tensors = [pb_utils.Tensor(STEP, np.array([step], np.int32)), pb_utils.Tensor(FILE if file else IMAGE, content)]
        self._send(pb_utils.InferenceResponse(tensors), final=final)

    def fail(self, failure: Failure, reason: str) -> None:
        """Send an error, whose kind its message tells: a code alone does not reach a stream."""
        error = pb_utils.TritonError(f"{failure}: {reason}", getattr(pb_utils.TritonError, self._CODES[failure]))
        self._send(pb_utils.InferenceResponse(error=error), final=True)

    def _send(self, response: Any, *, final: bool) -> None:
        with self._lock:
            self.ended = final
            self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if final else 0)


class Answers:
    """All answers that have not ended, watched until closed."""

    def __init__(self) -> None:
        self._open: list[Answer] = []
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="cancellations", daemon=True)
        self._thread.start()

    def to(self, sender: Any) -> Answer:
        """A new answer, sent by Triton's response sender."""
        answer = Answer(sender)
        with self._lock:
            self._open.append(answer)
        return answer

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closing.wait(_POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        # A function of its own, whose variables end with it: a sender that is kept keeps its version loaded.
        with self._lock:
            self._open = [answer for answer in self._open if not answer.ended]
            still_open = list(self._open)
        for answer in still_open:
            answer.look()
