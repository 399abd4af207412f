"""Running the gateway on a socket, to a gentle end."""

import asyncio
import socket

import uvicorn
from fastapi import FastAPI

CLOSE_SECONDS = 5
"""How long connections may still take to close once the gateway has drained."""


async def serve_http(app: FastAPI, listener: socket.socket) -> None:
    """Answer on `listener` until cancelled; then finish what is being drawn (`serving.gateway.drain`) and end."""
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=CLOSE_SECONDS
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(running)
    finally:
        await app.state.gateway.drain.run()
        server.should_exit = True
        await running
