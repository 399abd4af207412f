"""What is known of every request: an id in answer and log, one log line, a count; and whose trace it belongs to."""

import logging
import re
import secrets
from http import HTTPStatus
from time import perf_counter
from typing import Any

from opentelemetry import context, propagate, trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.gateway.errors import fault
from serving.gateway.metrics import Metrics

GENERATIONS = "/v1/images/generations"
CLIENT_LEFT = 499
"""Status in log and metrics of a request whose caller left; nobody hears it."""
_QUIET = frozenset({"/healthz", "/metrics"})
"""What machines ask every few seconds."""
_ID = re.compile(r"[\w.-]{1,64}")

log = logging.getLogger(__name__)


class Observed:
    """ASGI middleware; what a route adds to `request.state.facts` goes into the log line."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        facts: dict[str, Any] = {"request_id": _request_id(headers)}
        scope.setdefault("state", {})["facts"] = facts
        began, status = perf_counter(), CLIENT_LEFT

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = facts["request_id"]
            await send(message)

        token = context.attach(_context(headers))
        try:
            await self._app(scope, receive, observed)
        except Exception:
            log.exception("a fault of the gateway", extra={"request_id": facts["request_id"]})
            if status == CLIENT_LEFT:  # nothing was said yet
                await fault().response()(scope, receive, observed)
        finally:
            self._note(scope, facts, facts.pop("status", status), perf_counter() - began)
            context.detach(token)

    def _note(self, scope: Scope, facts: dict[str, Any], status: int, seconds: float) -> None:
        if scope["path"] == GENERATIONS:
            self._metrics.requests.labels(status).inc()
        if scope["path"] in _QUIET:
            return
        span = trace.get_current_span().get_span_context()
        known = {"trace_id": f"{span.trace_id:032x}"} if span.is_valid else {}
        level = logging.ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
        line = {"method": scope["method"], "path": scope["path"], "status": status, "seconds": round(seconds, 4)}
        log.log(level, "request", extra={**line, **facts, **known})


def _request_id(headers: Headers) -> str:
    """The caller's own, if it is harmless to write into a log."""
    given = headers.get("x-request-id", "")
    return given if _ID.fullmatch(given) else secrets.token_hex(8)


def _context(headers: Headers) -> context.Context:
    """The trace that the caller's `traceparent` names; FastAPI reads it only where spans are exported."""
    span = trace.get_current_span()
    return context.get_current() if span.get_span_context().is_valid else propagate.extract(headers)
