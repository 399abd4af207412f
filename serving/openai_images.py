"""OpenAI's image API as this gateway speaks it: the request, its rules, and errors that say what to write instead."""

import difflib
from collections.abc import Sequence
from typing import Any, Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from serving.protocol import MAX_SEED

MAX_PICTURES = 10
MAX_PROMPT = 4000


class ImageRequest(BaseModel):
    """Body of `POST /v1/images/generations`; each description completes the sentence "... must be"."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str = Field(
        min_length=1, max_length=MAX_PROMPT, description=f"a Unicode text of 1 to {MAX_PROMPT} characters"
    )
    model: str | None = Field(None, description="the name of a model that GET /v1/models lists")
    n: int | None = Field(None, ge=1, le=MAX_PICTURES, description=f"a whole number from 1 to {MAX_PICTURES}")
    size: str | None = Field(None, description="'auto', or the student's own size as '<width>x<height>'")
    response_format: Literal["b64_json", "url"] | None = Field(None, description="'b64_json' or 'url'")
    output_format: Literal["png", "webp", "jpeg"] | None = Field(None, description="'png', 'webp' or 'jpeg'")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description=f"a whole number from 0 to {MAX_SEED}")
    num_inference_steps: int | None = Field(None, description="one of the student's step counts, a whole number")
    user: str | None = Field(None, max_length=256, description="a text of at most 256 characters")


class ApiError(Exception):
    """An answer other than a picture, in OpenAI's error shape."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = {"Retry-After": str(retry_after)} if retry_after else None

    def response(self) -> JSONResponse:
        """The HTTP response, as OpenAI's clients parse it."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return JSONResponse({"error": error}, self.status, self.headers)


def explain(errors: Sequence[Any]) -> ApiError:
    """The first of pydantic's complaints about a body, as an error that teaches."""
    first = errors[0]
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
