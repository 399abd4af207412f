"""Routes that tell what is served and how it does: models, health, metrics, and pictures asked for as URLs."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from serving.gateway.auth import only_known
from serving.gateway.errors import ApiError
from serving.gateway.model_server import ModelServer
from serving.gateway.order import size_of
from serving.gateway.recent import KEPT_SECONDS
from serving.gateway.state import TheGateway
from serving.package.contents import TEACHER, Package
from serving.triton.client import BrokenError, BusyError

HEALTH_SECONDS = 5

open_router = APIRouter()
"""Open to everybody: health, and pictures whose address is a secret of its own."""
router = APIRouter()
"""For callers with a key, where keys are asked for."""


@open_router.get("/healthz")
async def health(gateway: TheGateway) -> JSONResponse:
    """200 if every student has just drawn a picture, or draws its canary now; 503 and the reason if not."""
    if gateway.drain.begun:
        return JSONResponse({"status": "draining", "models": {}}, 503)
    states = {model: await _state(gateway.server, model) for model in gateway.server.packages}
    well = all(state == "ok" for state in states.values())
    return JSONResponse({"status": "ok" if well else "down", "models": states}, 200 if well else 503)


@open_router.get("/v1/images/{name}/content")
async def content(name: str, gateway: TheGateway) -> Response:
    """A picture that was asked for as a URL."""
    found = gateway.recent.get(name)
    if found is None:
        raise ApiError(
            404, f"no such picture: those asked for as URLs are kept for {KEPT_SECONDS // 60} minutes at most"
        )
    return Response(found[0], media_type=found[1])


@router.get("/v1/models")
async def models(gateway: TheGateway) -> dict[str, Any]:
    """The students served, with what they can do."""
    return {"object": "list", "data": [_card(package) for package in gateway.server.packages.values()]}


@router.get("/v1/models/{model}")
async def model(model: str, gateway: TheGateway) -> dict[str, Any]:
    """One of them."""
    if model not in gateway.server.packages:
        known = ", ".join(gateway.server.packages)
        raise ApiError(404, f"no model {model[:100]!r} here: choose from {known}", code="model_not_found")
    return _card(gateway.server.packages[model])


@router.get("/metrics", dependencies=[Depends(only_known)])
async def metrics(gateway: TheGateway) -> Response:
    """Counters in Prometheus' text format."""
    return Response(gateway.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/openapi.json", include_in_schema=False, dependencies=[Depends(only_known)])
async def description(request: Request) -> dict[str, Any]:
    """What is here, as OpenAPI."""
    schema: dict[str, Any] = request.app.openapi()
    return schema


async def _state(server: ModelServer, model: str) -> str:
    try:
        await server.prove(model, HEALTH_SECONDS)
    except (BrokenError, BusyError) as error:
        return str(error)
    return "ok"


def _card(package: Package) -> dict[str, Any]:
    return {
        "id": package.model,
        "object": "model",
        "created": int(package.path.stat().st_mtime),
        "owned_by": "rats",
        "version": package.version,
        "steps": package.steps,
        "size": size_of(package),
        "video": package.is_video,
        "teacher": package.model == TEACHER,
        "guidance_scale": package.guidance_scale,
        "adapters": package.adapters,
        "examples": package.hints.examples,
    }
