"""Ending without hurting anyone: what is being drawn is finished, what comes is sent elsewhere."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from serving.gateway.errors import ApiError

DRAIN_SECONDS = 25
"""How long what is being drawn may still take; Kubernetes kills 30 s after it asks to stop."""


class Drain:
    """Counts the work in flight, and lets none in once it has begun."""

    def __init__(self) -> None:
        self.begun = False
        self._in_flight, self._idle = 0, asyncio.Event()
        self._idle.set()

    @contextmanager
    def work(self) -> Iterator[None]:
        """Something that has to be finished.

        Raises:
            ApiError: 503, the server is about to stop.
        """
        if self.begun:
            message = "this server is stopping: ask again, another will answer"
            raise ApiError(503, message, code="draining", retry_after=1)
        self._in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def run(self, seconds: float = DRAIN_SECONDS) -> None:
        """Let nothing new in, and wait until what is in flight is done, `seconds` at most."""
        self.begun = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)
