"""Routes for whoever runs the endpoint: health, metrics, and a description of what is here."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from serving.gateway.auth import only_known
from serving.gateway.model_server import ModelServer
from serving.gateway.state import TheGateway
from serving.triton.client import BrokenError, BusyError

HEALTH_SECONDS = 5

open_router = APIRouter()
"""Open to everybody."""
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
