"""The trigger as a service: a webhook for MLflow's events, and a thread that looks for itself and starts what waits.

The webhook only writes down what it is told; a lost, late or refused delivery costs the time to the next look.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response

from pipelines.trigger.ledger import Ledger, Version
from pipelines.trigger.registry import DIGEST_TAG
from pipelines.trigger.settings import Settings
from pipelines.trigger.signature import VALID_SECONDS, RefusedError, check_signature
from pipelines.trigger.starter import Server, look, start_waiting
from rats_train.errors import RetryableError

_log = logging.getLogger("rats.trigger")

LONGEST_BODY = 1 << 20


class Watcher:
    """A thread that looks for new versions and starts runs: every so often, and at once when it is woken.

    Attributes:
        last_look: seconds since 1970 of the last look that the registry answered; 0 before the first.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        server: Server,
        package: Path,
        versions_of: Callable[[str], Iterable[int]],
    ) -> None:
        self._settings, self._ledger, self._server, self._package = settings, ledger, server, package
        self._versions_of = versions_of
        self._woken, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.last_look = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    def stop(self) -> None:
        """End after the look that is on its way."""
        self._over.set()
        self.wake()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self._woken.clear()
            try:
                self._look()
            except Exception:
                # A fault of ours must not end the watch in silence: it is tried again, and the log tells.
                _log.exception("this look failed")
            self._woken.wait(self._settings.poll_seconds)

    def _look(self) -> None:
        """Learn of new versions, and start what waits whether or not the registry answered."""
        try:
            look(self._settings, self._versions_of, self._ledger)
            self.last_look = time.time()
        except RetryableError as error:
            _log.error("%s", error)
        start_waiting(self._settings, self._ledger, self._server, self._package)


def make_app(settings: Settings, ledger: Ledger, watcher: Watcher, secret: str) -> FastAPI:
    """The HTTP service: ``POST /webhook``, ``GET /healthz``."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watcher.start()
        yield
        watcher.stop()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/webhook")
    async def webhook(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return Response(status_code=413)
        now = time.time()
        try:
            delivery = check_signature(request.headers, body, secret, now)
        except RefusedError as error:
            _log.warning("delivery refused: %s", error)
            return Response(status_code=401)
        version = _told(json.loads(body), settings)
        if not await asyncio.to_thread(ledger.receive, delivery, version, now, now - 3 * VALID_SECONDS):
            _log.warning("delivery %s came again", delivery)
            return Response(status_code=409)
        if version:
            watcher.wake()
        return Response(status_code=202)

    @app.get("/healthz")
    def health() -> Response:
        """200 while the registry answers; 503 once three looks in a row have failed."""
        fresh = time.time() - watcher.last_look < 3 * settings.poll_seconds + 60
        return Response(status_code=200 if fresh else 503)

    return app


async def _body(request: Request) -> bytes | None:
    """The request's body; None where it is too long for an event."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            return None
    return body


def _told(event: dict[str, Any], settings: Settings) -> Version | None:
    """The version that an event tells of; None where it is none of ours."""
    data = event.get("data") or {}
    if (event.get("entity"), event.get("action")) != ("model_version", "created"):
        return None
    if DIGEST_TAG not in (data.get("tags") or {}) or settings.of(str(data.get("name"))) is None:
        return None
    return Version(str(data["name"]), int(data["version"]))
