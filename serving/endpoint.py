"""Serving a model repository: Triton, its supervisor and the gateway, started and stopped as one.

with serve(Path("runs/latest/models")) as endpoint:
    print(endpoint.url)
"""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rats_train.errors import RetryableError
from serving.gateway.app import create_app
from serving.gateway.http_server import serve_http
from serving.gateway.settings import GatewaySettings
from serving.keys import trusted_key
from serving.listener import listen
from serving.triton.supervisor import Supervisor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint; every model has drawn its canary."""

    url: str
    models: list[str]
    _ended: threading.Event

    def wait(self) -> None:
        """Block until the endpoint ends, which it does not do by itself unless something is badly wrong."""
        # Not a join: one that Ctrl-C interrupts lets Python forget the thread, and exit before it is done.
        self._ended.wait()


@contextlib.contextmanager
def serve(
    repo: Path,
    *,
    host: str = "127.0.0.1",
    http_port: int = 8080,
    keys: Path | None = None,
    triton_log: Path | None = None,
    settings: GatewaySettings | None = None,
) -> Iterator[Endpoint]:
    """Serve the newest version of every student in `repo` until the block is left; nothing outlives it.

    Args:
        repo: a Triton model repository that `package_student` wrote.
        host: address that the gateway listens on; Triton itself listens on loopback only.
        http_port: port of the gateway, 0 for any free one.
        keys: folder of the public key that packages must be signed with; this user's own by default.
        triton_log: file that tritonserver's log is added to; by default it goes with the server.
        settings: of the gateway; open to everybody who reaches `host` by default.

    Raises:
        UserError: the port is in use, `repo` holds no student, or one that is not what was signed.
        RetryableError: Triton or a student did not start.
    """
    public_key = trusted_key(keys)
    listener = listen(host, http_port)
    url = "http://{}:{}".format(*listener.getsockname())
    loop = asyncio.new_event_loop()
    ready: Future[list[str]] = Future()
    ended = threading.Event()
    main = loop.create_task(_main(listener, repo, public_key, triton_log, settings, ready))
    thread = threading.Thread(target=_run, args=(loop, main, ready, ended), name="rats-serve")
    thread.start()
    try:
        yield Endpoint(url, ready.result(), ended)
    finally:
        with contextlib.suppress(RuntimeError):  # the loop is closed: it failed by itself
            loop.call_soon_threadsafe(main.cancel)
        thread.join()


def run_forever(repo: Path, *, on_ready: Callable[[Endpoint], None], **settings: Any) -> None:
    """Serve until SIGINT or SIGTERM, then stop cleanly. Call it from the main thread.

    Args:
        repo: as in `serve`, like all `settings`.
        on_ready: called once with the endpoint.

    Raises:
        UserError, RetryableError: as in `serve`.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), serve(repo, **settings) as endpoint:
        on_ready(endpoint)
        endpoint.wait()
        raise RetryableError("the endpoint ended by itself: its log says why")


async def _main(
    listener: socket.socket,
    repo: Path,
    public_key: Path,
    triton_log: Path | None,
    settings: GatewaySettings | None,
    ready: Future[list[str]],
) -> None:
    with listener:
        async with Supervisor(repo, public_key, triton_log) as supervisor:
            ready.set_result(list(supervisor.packages))
            await serve_http(create_app(supervisor, settings), listener)


def _run(
    loop: asyncio.AbstractEventLoop, main: "asyncio.Task[None]", ready: "Future[list[str]]", ended: threading.Event
) -> None:
    try:
        loop.run_until_complete(main)
    except asyncio.CancelledError:
        pass
    except BaseException as error:  # handed to the thread that waits for it, if it still does
        if ready.done():
            log.exception("the endpoint ended")
        else:
            ready.set_exception(error)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        ended.set()
