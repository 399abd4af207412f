"""The service as a caller sees it: what it accepts, what it refuses, and what it starts."""

import json
import time

import pytest
from fastapi.testclient import TestClient

from pipelines.trigger.ledger import Ledger
from pipelines.trigger.service import LONGEST_BODY, Watcher, make_app
from pipelines.trigger.settings import Retraining, Settings
from pipelines.trigger.signature import sign
from rats_train.errors import RetryableError

SECRET = "a secret of the webhook"
TOLD = Settings(
    retrain=[Retraining(reward="a", recipe="emoji", overrides=['rewards.train=[{"name": "a", "path": "a@1"}]'])],
    poll_seconds=0.2,
)


class Server:
    def __init__(self):
        self.started = []

    def find_run(self, name):
        return "known" if name in self.started else None

    def start_run(self, name, package, parameters):
        self.started.append(name)
        return name


class Registry:
    """The versions that a look finds."""

    def __init__(self):
        self.versions, self.down = [1], False

    def __call__(self, name):
        if self.down:
            raise RetryableError("MLflow: no answer")
        return list(self.versions)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def client(tmp_path, server, registry):
    ledger = Ledger(tmp_path / "ledger.db")
    watcher = Watcher(TOLD, ledger, server, tmp_path, registry)
    with TestClient(make_app(TOLD, ledger, watcher, SECRET)) as running:
        once(lambda: watcher.last_look)
        yield running


def once(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def event(version=2, name="a", action="created", **tags):
    data = {"name": name, "version": str(version), "tags": {"rats.digest": "0" * 64} | tags}
    return json.dumps({"entity": "model_version", "action": action, "data": data}).encode()


def deliver(client, body, delivery="d1", secret=SECRET, sent=None):
    timestamp = str(int(time.time() if sent is None else sent))
    headers = {
        "X-MLflow-Signature": sign(body, secret, delivery, timestamp),
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": timestamp,
    }
    return client.post("/webhook", content=body, headers=headers).status_code


def test_an_event_starts_one_run_however_often_it_comes(client, server, registry):
    assert [deliver(client, event(), delivery) for delivery in ("d1", "d2", "d3")] == [202, 202, 202]
    registry.versions = [1, 2]
    once(lambda: server.started)
    time.sleep(0.6)
    assert server.started == ["retrain on a@2"]


def test_a_version_that_no_event_tells_of_is_found(client, server, registry):
    registry.versions = [1, 2, 3]
    once(lambda: len(server.started) == 2)
    assert server.started == ["retrain on a@2", "retrain on a@3"]


def test_forged_stale_and_replayed_deliveries_are_refused(client, server):
    assert deliver(client, event(), secret="another secret") == 401
    assert deliver(client, event(), sent=time.time() - 600) == 401
    assert client.post("/webhook", content=event()).status_code == 401
    assert deliver(client, event(9, "unknown")) == 202
    assert deliver(client, event(9, "unknown")) == 409
    assert client.post("/webhook", content=b" " * (LONGEST_BODY + 1)).status_code == 413
    time.sleep(0.5)
    assert server.started == []


@pytest.mark.parametrize("body", [event(name="b"), event(action="deleted"), json.dumps({"entity": "prompt"}).encode()])
def test_what_is_not_ours_starts_nothing(client, server, body):
    assert deliver(client, body) == 202
    time.sleep(0.5)
    assert server.started == []


def test_a_fault_in_one_look_does_not_end_the_watch(client, server, registry):
    registry.versions = None
    time.sleep(0.5)
    registry.versions = [1, 2]
    once(lambda: server.started == ["retrain on a@2"])


def test_an_outage_of_the_registry_is_outlasted(client, server, registry):
    registry.down = True
    assert deliver(client, event(2)) == 202
    once(lambda: server.started == ["retrain on a@2"])
    registry.down, registry.versions = False, [1, 2, 3]
    once(lambda: server.started == ["retrain on a@2", "retrain on a@3"])
    assert client.get("/healthz").status_code == 200
