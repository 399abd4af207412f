"""The gateway over real HTTP, in front of a model server that is played."""

import asyncio
import threading
from contextlib import contextmanager, suppress

import httpx
import openai
import pytest

from serving.endpoint import listen
from serving.gateway.app import create_app
from serving.gateway.http_server import serve_http
from tests.unit.serving.gateway.fake_server import FakeServer, package


class Running:
    """A gateway that answers at `url` until stopped."""

    def __init__(self, app):
        self.app = app
        self._listener = listen("127.0.0.1", 0)
        self.url = "http://{}:{}".format(*self._listener.getsockname())
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(serve_http(app, self._listener))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self):
        """Ask it to end; it drains."""
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._task.cancel)

    def join(self):
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self):
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self._listener.close()
            self._loop.close()


@contextmanager
def running(server, settings=None):
    gateway = Running(create_app(server, settings))
    try:
        yield gateway
    finally:
        gateway.stop()
        gateway.join()


@pytest.fixture
def server(tmp_path):
    """The played model server, to make slow or to break."""
    return FakeServer([package(tmp_path)])


@pytest.fixture
def settings():
    """Of the gateway; open to everybody unless a test module says otherwise."""
    return None


@pytest.fixture
def gateway(server, settings):
    with running(server, settings) as started:
        yield started


@pytest.fixture
def http(gateway):
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        yield client


@pytest.fixture
def client(gateway):
    """The official OpenAI client, unchanged."""
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0)
