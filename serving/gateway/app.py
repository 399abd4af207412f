"""The gateway put together."""

from fastapi import Depends, FastAPI

from serving.gateway import images, models, operation, page
from serving.gateway.auth import authenticate
from serving.gateway.body_limit import BodyLimit
from serving.gateway.errors import MAX_BODY, answer_in_openai_shape
from serving.gateway.model_server import ModelServer
from serving.gateway.observation import Observed
from serving.gateway.settings import GatewaySettings
from serving.gateway.state import Gateway


def create_app(server: ModelServer, settings: GatewaySettings | None = None) -> FastAPI:
    """The gateway over a running model server, open to everybody by default; `app.state.gateway` is its state."""
    app = FastAPI(
        title="RATS few-step endpoint",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # served by a route of ours, which asks for a key
        # Spans go where the standard OTEL_ variables say, and nowhere without them. Its logs would hold prompts.
        telemetry={"auto_configure": True, "logs": False, "metrics": False, "operation_spans": False},
    )
    app.state.gateway = Gateway(server, settings or GatewaySettings())
    answer_in_openai_shape(app)
    app.add_middleware(BodyLimit, max_body_size=MAX_BODY)
    app.add_middleware(Observed, metrics=app.state.gateway.metrics)
    for router in (images.router, models.router, operation.router):
        app.include_router(router, dependencies=[Depends(authenticate)])
    for router in (images.open_router, operation.open_router, page.router):
        app.include_router(router)
    return app
