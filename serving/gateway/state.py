"""What the routes of one gateway share."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from serving.gateway.drain import Drain
from serving.gateway.idempotency import Answers
from serving.gateway.limits import Limits
from serving.gateway.metrics import Metrics
from serving.gateway.model_server import ModelServer
from serving.gateway.recent import RecentPictures
from serving.gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Gateway:
    """A model server, and what is remembered of the requests to it."""

    server: ModelServer
    settings: GatewaySettings
    drain: Drain = field(default_factory=Drain)
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    answers: Answers = field(default_factory=Answers)
    recent: RecentPictures = field(default_factory=RecentPictures)


async def _gateway(request: Request) -> Gateway:  # asynchronous, or FastAPI sends it through a thread
    gateway: Gateway = request.app.state.gateway
    return gateway


TheGateway = Annotated[Gateway, Depends(_gateway)]
"""The gateway that a request came to."""
