"""What keeps the gateway steady: drain, idempotency, body limits, what is logged and traced."""

import json
import logging
import threading
import time

import httpx
import pytest
from opentelemetry import propagate, trace

from serving.gateway.drain import Drain
from serving.gateway.logs import log_as_json
from serving.gateway.settings import GatewaySettings
from tests.unit.serving.gateway.conftest import running
from tests.waiting import wait_for

BODY = {"prompt": "two secret owls", "num_inference_steps": 3, "seed": 1}
PATH = "/v1/images/generations"


def in_background(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return lambda: (thread.join(10), found[0])[1]


def test_stopping_finishes_what_runs_and_sends_others_elsewhere(server):
    server.pause_at_step = 3
    with running(server) as gateway, httpx.Client(base_url=gateway.url) as http:
        http.get("/healthz")  # a connection that is open already
        first = in_background(lambda: httpx.post(gateway.url + PATH, json=BODY, timeout=10))
        wait_for(lambda: server.in_flight, "the first")
        gateway.stop()
        wait_for(lambda: gateway.app.state.gateway.drain.begun, "the drain")
        refused = http.post(PATH, json=BODY)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "draining"
        assert (http.get("/healthz").status_code, http.get("/healthz").json()["status"]) == (503, "draining")
        server.pause_at_step = 0
        assert first().status_code == 200
        gateway.join()
    assert len(server.jobs) == 1


def test_a_drain_ends_when_its_time_is_over():
    import asyncio

    async def scene():
        drain = Drain()
        with drain.work():
            began = time.monotonic()
            await drain.run(0.05)
            return time.monotonic() - began

    assert 0.04 < asyncio.run(scene()) < 2


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_key_and_body_give_the_very_same_answer(http, server, stream):
    headers = {"Idempotency-Key": "a"}
    body = {"prompt": "two owls", "stream": stream, "partial_images": 2}  # no seed: drawn anew it would differ
    first, again = (http.post(PATH, json=body, headers=headers) for _ in range(2))
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert len(server.jobs) == 1
    other = http.post(PATH, json={**body, "n": 2}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert http.post(PATH, json=body, headers={"Idempotency-Key": "b"}).content != first.content


def test_a_second_one_while_the_first_is_at_work_is_told_to_wait(gateway, http, server):
    server.pause_at_step = 3
    headers = {"Idempotency-Key": "a"}
    first = in_background(lambda: httpx.post(gateway.url + PATH, json=BODY, headers=headers, timeout=10))
    wait_for(lambda: server.in_flight, "the first")
    second = http.post(PATH, json=BODY, headers=headers)
    assert (second.status_code, second.headers["retry-after"]) == (409, "1")
    server.pause_at_step = 0
    assert first().status_code == 200


def test_what_failed_is_drawn_anew_under_the_same_key(http, server):
    headers = {"Idempotency-Key": "a"}
    server.failure = ValueError("a fault")
    assert http.post(PATH, json=BODY, headers=headers).status_code == 500
    server.failure = None
    assert http.post(PATH, json=BODY, headers=headers).status_code == 200
    without = http.post(PATH, json=BODY, headers={"Idempotency-Key": ""})
    assert (without.status_code, without.json()["error"]["param"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"nope", 400), (b"", 400), (b"[1]", 400), (b'{"prompt": "\\ud800"}', 400), (b'{"prompt": NaN}', 400),
        (b'{"prompt": "x", "model": "\\ud800"}', 400), (b'{"prompt": "x", "size": "\\ud800"}', 400),
        (b'{"prompt": "x", "\\ud800": 1}', 400),
        (b'"' + b"x" * 70_000 + b'"', 413), (b'{"prompt": "x", "guidance_scale": NaN}', 400),
    ],
)  # fmt: skip
@pytest.mark.parametrize("chunked", [False, True])
def test_bad_bodies_are_refused_in_openai_shape(http, content, status, chunked):
    headers = {"content-type": "application/json", "idempotency-key": "a"}
    answer = http.post(PATH, content=iter([content]) if chunked else content, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", ["/nope", "/v1/images/nope/content", "/docs"])
def test_unknown_paths_answer_in_openai_shape(http, path):
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"]


def test_health_tells_the_reason(http, server):
    assert http.get("/healthz").json() == {"status": "ok", "models": {"student": "ok"}}
    from serving.triton.client import BrokenError

    server.failure = BrokenError("the stub died")
    answer = http.get("/healthz")
    assert (answer.status_code, answer.json()["models"]) == (503, {"student": "the stub died"})


@pytest.mark.parametrize("log_prompts", [False, True])
def test_a_request_is_one_json_line_without_its_prompt_unless_asked(server, capsys, log_prompts):
    root = logging.getLogger("serving")
    before = root.handlers, root.propagate, root.level
    log_as_json()
    try:
        with running(server, GatewaySettings(log_prompts=log_prompts)) as gateway:
            answer = httpx.post(gateway.url + PATH, json={**BODY, "user": "u1"}, headers={"x-request-id": "abc-1"})
            httpx.post(gateway.url + PATH, json={**BODY, "zzz": "two secret owls"})
            httpx.get(gateway.url + "/healthz")
    finally:
        root.handlers, root.propagate, root.level = before
    assert answer.headers["x-request-id"] == "abc-1"
    text = capsys.readouterr().err
    first, second = (json.loads(line) for line in text.splitlines())
    wanted = {"request_id": "abc-1", "status": 200, "model": "student", "steps": 3, "n": 1, "user": "u1", "path": PATH}
    assert first.items() >= wanted.items()
    assert second["status"] == 400
    assert ("secret" in text) is log_prompts


def test_the_caller_s_trace_goes_on_in_the_model_server(server, http, gateway):
    told = []
    draw = server.draw

    async def watched(*arguments):
        carrier = {}
        propagate.inject(carrier)
        told.append(carrier)
        return await draw(*arguments)

    server.draw = watched
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    http.post(PATH, json=BODY, headers={"traceparent": parent})
    assert told == [{"traceparent": parent}]
    assert not trace.get_current_span().get_span_context().is_valid
