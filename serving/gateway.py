"""The HTTP side: OpenAI's image endpoint, models, health, metrics, and a page to try it."""

import asyncio
import base64
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from serving.client import BrokenError, BusyError, RefusedError
from serving.metrics import Metrics
from serving.openai_images import ApiError, ImageRequest, explain
from serving.package import Package
from serving.pictures import KEPT, RecentPictures, encode
from serving.protocol import Job
from serving.supervisor import Supervisor

REQUEST_SECONDS = 120
HEALTH_SECONDS = 5
MAX_BODY = 64 * 1024
_PAGE = Path(__file__).with_name("page.html")
# The page is one file: whatever else it were made to fetch or run, the browser refuses.
_PAGE_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


def create_app(supervisor: Supervisor) -> FastAPI:
    """The gateway over a running supervisor."""
    app = FastAPI(title="RATS few-step endpoint", docs_url=None, redoc_url=None)
    metrics, recent = Metrics(), RecentPictures()
    _answer_in_openai_shape(app, metrics)

    @app.post("/v1/images/generations")
    async def generate(body: ImageRequest, request: Request) -> JSONResponse:
        """Draw `n` pictures of a prompt, with the seeds `seed`, `seed` + 1, ..."""
        package, steps = _choose(supervisor.packages, body)
        output_format = _format(package, body)
        seed = secrets.randbelow(2**31) if body.seed is None else body.seed
        seeds = range(seed, seed + (body.n or 1))
        start = time.perf_counter()
        with metrics.waiting.track_inprogress():
            pictures = await _draw(supervisor, package.model, body.prompt, seeds, steps)
        seconds = time.perf_counter() - start
        metrics.seconds.labels(package.model, steps).observe(seconds)
        metrics.pictures.labels(package.model, steps).inc(len(pictures))
        files = await asyncio.to_thread(lambda: [encode(pixels, output_format) for pixels in pictures])
        note = package.hints.note(body.prompt)
        return JSONResponse(
            {
                "created": int(time.time()),
                "data": [
                    {**_hand_out(file, body, recent, request), "seed": each}
                    for file, each in zip(files, seeds, strict=True)
                ],
                "output_format": output_format,
                "size": _size(package),
                "model": package.model,
                "num_inference_steps": steps,
                "inference_time_s": round(seconds, 4),
                "notes": [note] if note else [],
            }
        )

    @app.get("/v1/images/{name}/content")
    async def content(name: str) -> Response:
        """A picture that was asked for as a URL."""
        found = recent.get(name)
        if found is None:
            raise ApiError(404, f"no such picture: the last {KEPT} asked for as URLs are kept")
        return Response(found[0], media_type=found[1])

    @app.get("/v1/models")
    async def models() -> JSONResponse:
        """The students served, with what they can do."""
        return JSONResponse({"object": "list", "data": [_model_card(each) for each in supervisor.packages.values()]})

    @app.get("/healthz")
    async def health() -> JSONResponse:
        """200 if every student has just drawn a picture, or draws its canary now; 503 and the reason if not."""
        states = {model: await _state(supervisor, model) for model in supervisor.packages}
        well = all(state == "ok" for state in states.values())
        return JSONResponse({"status": "ok" if well else "down", "models": states}, 200 if well else 503)

    @app.get("/metrics")
    async def prometheus() -> Response:
        """Counters in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        """A page to try the endpoint."""
        return Response(_PAGE.read_bytes(), media_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY})

    return app


def _choose(packages: dict[str, Package], body: ImageRequest) -> tuple[Package, int]:
    """The package and the step count that a request means."""
    name = body.model or next(iter(packages))
    if name not in packages:
        message = f"no model {name[:100]!r} here: choose from {', '.join(packages)}"
        raise ApiError(404, message, param="model", code="model_not_found")
    package = packages[name]
    steps = max(package.steps) if body.num_inference_steps is None else body.num_inference_steps
    if steps not in package.steps:
        message = f"num_inference_steps must be one of {', '.join(map(str, package.steps))}, not {steps}"
        raise ApiError(400, message, param="num_inference_steps", code="invalid_value")
    if body.size not in (None, "auto", _size(package)):
        message = f"size must be {_size(package)!r}, which is what {name} draws, or 'auto'"
        raise ApiError(400, message, param="size", code="invalid_value")
    return package, steps


async def _draw(supervisor: Supervisor, model: str, prompt: str, seeds: range, steps: int) -> list[NDArray[np.uint8]]:
    """All pictures of one request, or an `ApiError`; if one fails the others are cancelled."""
    jobs = [Job(prompt, seed, steps) for seed in seeds]
    tasks = [asyncio.create_task(supervisor.draw(model, job, REQUEST_SECONDS)) for job in jobs]
    try:
        return [picture.content for picture in await asyncio.gather(*tasks)]
    except RefusedError as error:
        raise ApiError(400, str(error), code="invalid_value") from error
    except BusyError as error:
        message = f"too many pictures are waiting ({error}): try again in a moment"
        raise ApiError(429, message, code="queue_full", retry_after=1) from error
    except BrokenError as error:
        message = f"{model} cannot draw right now ({error}): it is being repaired, try again in some seconds"
        raise ApiError(503, message, code="model_unavailable", retry_after=5) from error
    finally:
        for task in tasks:
            task.cancel()


def _hand_out(file: bytes, body: ImageRequest, recent: RecentPictures, request: Request) -> dict[str, str]:
    if body.response_format == "url":
        name = recent.add(file, f"image/{body.output_format or 'png'}")
        return {"url": str(request.url_for("content", name=name))}
    return {"b64_json": base64.b64encode(file).decode()}


async def _state(supervisor: Supervisor, model: str) -> str:
    try:
        await supervisor.prove(model, HEALTH_SECONDS)
    except (BrokenError, BusyError) as error:
        return str(error)
    return "ok"


def _model_card(package: Package) -> dict[str, Any]:
    return {
        "id": package.model,
        "object": "model",
        "created": int(package.path.stat().st_mtime),
        "owned_by": "rats",
        "version": package.version,
        "steps": package.steps,
        "size": _size(package),
        "examples": package.hints.examples,
    }


def _format(package: Package, body: ImageRequest) -> Literal["png", "webp", "jpeg"]:
    """What was asked for; else PNG, and for a video the much smaller WebP."""
    if package.is_video and body.output_format == "jpeg":
        raise ApiError(400, "output_format must be 'webp' or 'png': a JPEG cannot move", param="output_format")
    return body.output_format or ("webp" if package.is_video else "png")


def _size(package: Package) -> str:
    return f"{package.resolution.width}x{package.resolution.height}"


def _answer_in_openai_shape(app: FastAPI, metrics: Metrics) -> None:
    """Bound every body, and turn every failure into OpenAI's error shape."""

    @app.exception_handler(ApiError)
    async def ours(_: Request, error: ApiError) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return explain(error.errors()).response()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return ApiError(error.status_code, f"{error.detail}: see GET /openapi.json for what is here").response()

    @app.middleware("http")
    async def bounded(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        if "transfer-encoding" in request.headers:
            response: Response = ApiError(411, "send the body with a Content-Length, not in chunks").response()
        elif int(request.headers.get("content-length", 0)) > MAX_BODY:
            response = ApiError(413, f"the body is larger than {MAX_BODY} bytes").response()
        else:
            response = await proceed(request)
        if request.url.path == "/v1/images/generations":
            metrics.requests.labels(response.status_code).inc()
        return response
