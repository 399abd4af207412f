"""Every failure as an answer in OpenAI's error shape that says what to write instead."""

import difflib
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from serving.gateway.image_request import ImageRequest

MAX_BODY = 64 * 1024
"""Bytes of a request's body."""

_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer other than a picture."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, retry_after: float = 0
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = {"Retry-After": str(max(1, round(retry_after)))} if retry_after else {}
        if status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"

    def body(self) -> dict[str, Any]:
        """The JSON that OpenAI's clients parse."""
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The HTTP response."""
        return JSONResponse(self.body(), self.status, self.headers)


def fault() -> ApiError:
    """The answer where the gateway itself failed."""
    return ApiError(500, "a fault of ours: the log says more, under the x-request-id of this answer")


def body_too_large() -> ApiError:
    """The answer to a body beyond `MAX_BODY`."""
    return ApiError(413, f"the body is larger than {MAX_BODY} bytes", code="body_too_large")


def answer_in_openai_shape(app: FastAPI) -> None:
    """Let `app` turn every failure into an `ApiError`'s response."""

    @app.exception_handler(ApiError)
    async def ours(_: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return explain(error.errors()).response()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        if error.status_code == 413:
            return body_too_large().response()
        return ApiError(error.status_code, f"{error.detail}: see GET /openapi.json for what is here").response()


def explain(errors: Sequence[Any]) -> ApiError:
    """The first of pydantic's complaints about a request, as an error that teaches."""
    first = errors[0]
    if first["loc"][0] == "header":
        return ApiError(400, "Idempotency-Key must be a text of 1 to 255 characters", param="Idempotency-Key")
    name = next((str(part) for part in first["loc"][1:] if part in ImageRequest.model_fields), None)
    if first["type"] == "extra_forbidden":
        return _unknown(str(first["loc"][-1]))
    if first["type"] == "json_invalid":
        return ApiError(400, "the body is not JSON", code="invalid_json")
    if name is None:
        return ApiError(400, "the body must be a JSON object with at least a prompt, sent as application/json")
    rule = ImageRequest.model_fields[name].description
    if first["type"] == "missing":
        return ApiError(400, f"{name} is missing: it must be {rule}", param=name, code="missing_required_parameter")
    return ApiError(400, f"{name} must be {rule}", param=name, code="invalid_value")


def _unknown(name: str) -> ApiError:
    known = list(ImageRequest.model_fields)
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return ApiError(400, f"unknown parameter {name[:100]!r}: {advice}", param=name[:100], code="unknown_parameter")
