"""A bound on the size of a request's body."""

from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import Receive, Scope, Send

from serving.gateway.errors import MAX_BODY, body_too_large


class BodyLimit(RequestBodyLimitMiddleware):
    """Starlette's, which counts what arrives; a length that is announced is refused here, in OpenAI's error shape."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        announced = Headers(scope=scope).get("content-length", "") if scope["type"] == "http" else ""
        if announced.isdecimal() and int(announced) > MAX_BODY:
            await body_too_large().response()(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
