"""What is served, as OpenAI's clients ask for it."""

from typing import Any

from fastapi import APIRouter

from serving.gateway.errors import ApiError
from serving.gateway.order import size_of
from serving.gateway.state import TheGateway
from serving.package.contents import TEACHER, Package

router = APIRouter()


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
