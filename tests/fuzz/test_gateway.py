"""Two thousand requests that nobody should send: each gets an answer, none breaks or blocks anything.

The model server is played; everything before it is real.
"""

import json
import random
import tracemalloc
from collections import Counter

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from serving.gateway.app import create_app
from tests.unit.serving.gateway.conftest import running
from tests.unit.serving.gateway.fake_server import FakeServer, package

FROM_SCHEMA, BY_HAND = 1000, 1000
PATH = "/v1/images/generations"

NASTY = [
    None, True, False, 0, -1, 1, 3, 10, 11, 2**31, 2**53, 2**64, -(2**63), 10**400, 0.5, 1e308, float("nan"),
    float("inf"), "", " ", "\x00", "\ud800", "é" * 4000, "🦊" * 100, "\u202e\u200b", "x" * 70_000, "'; DROP TABLE",
    "{{7*7}}", "../..", [], {}, [1], {"a": 1}, [[[[]]]], "png", "url", "auto", "student", "64x96", "96x64", "two owls",
    "sketch",
]  # fmt: skip
FIELDS = [
    "prompt", "model", "n", "size", "response_format", "output_format", "stream", "partial_images", "user", "seed",
    "num_inference_steps", "negative_prompt", "guidance_scale", "adapter", "zzz", "prompt\x00", "\ud800",
]  # fmt: skip

JUST_ALLOWED = {
    "n": [1, 10], "seed": [0, 2**53 - 1], "num_inference_steps": [3, 8], "guidance_scale": [0, 30], "stream": [True],
    "partial_images": [0, 100], "response_format": ["b64_json", "url"], "output_format": ["png", "webp", "jpeg"],
    "negative_prompt": ["", "é" * 4000], "adapter": ["sketch"], "user": ["u" * 256],
}  # fmt: skip
"""Values at the edge of what is allowed, for faults that only two sound values together bring about."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    return FakeServer([package(tmp_path_factory.mktemp("models"))])


@pytest.fixture(scope="module")
def gateway(server):
    with running(server) as started:
        yield started


def assert_well(gateway, server):
    """Nothing is stuck, and a sound request is answered."""
    assert server.in_flight == 0
    state = gateway.app.state.gateway
    assert not +state.limits._models
    assert httpx.post(gateway.url + PATH, json={"prompt": "two owls"}, timeout=10).status_code == 200


def test_what_the_description_allows_and_forbids(gateway, server):
    schema = schemathesis.openapi.from_dict(create_app(server).openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    done = Counter()
    with httpx.Client(base_url=gateway.url, timeout=30) as http:
        for operation in operations:
            _fuzz(operation, FROM_SCHEMA if operation.path == PATH else 50, http, done)
    assert done.total() >= FROM_SCHEMA, done
    assert_well(gateway, server)


def _fuzz(operation, count, http, done):
    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.one_of(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))
    def check(case):
        request = case.as_transport_kwargs(base_url=str(http.base_url))
        answer = requests.request(**request, timeout=30)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400 and "application/json" in answer.headers.get("content-type", ""):
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        done[answer.status_code] += 1

    check()


def nasty_body(rng):
    choices = JUST_ALLOWED if rng.random() < 0.5 else dict.fromkeys(FIELDS, NASTY)
    body = {field: rng.choice(choices[field]) for field in rng.sample(list(choices), rng.randint(0, 6))}
    if rng.random() < 0.7:
        body["prompt"] = "two owls"
    text = json.dumps(body).encode()
    return text if rng.random() < 0.9 else text[: rng.randrange(len(text))] + bytes(rng.choices(range(256), k=5))


def test_odd_unicode_huge_numbers_and_wrong_types(gateway, server):
    rng, statuses = random.Random(0), set()
    with httpx.Client(base_url=gateway.url, timeout=30) as http:
        for number in range(BY_HAND):
            headers = {"content-type": "application/json", "idempotency-key": str(number)}
            answer = http.post(PATH, content=nasty_body(rng), headers=headers)
            assert answer.status_code < 500, answer.text
            statuses.add(answer.status_code)
            if number == BY_HAND // 4:
                tracemalloc.start()
                before = tracemalloc.get_traced_memory()[0]
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert statuses >= {200, 400, 404, 413}
    assert grown < 20 * 2**20, f"{grown / 2**20:.0f} MiB kept after {BY_HAND} requests"
    assert_well(gateway, server)
