"""Requests that nobody should send, before the real model server: each is drawn or refused, and none sticks."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.gateway.limits import RETRY_SECONDS
from tests.fuzz.test_gateway import nasty_body

PATH = "/v1/images/generations"
COUNT = 500


@pytest.mark.slow
def test_nothing_breaks_and_every_slot_is_free_afterwards(http):
    rng = random.Random(1)
    bodies = [nasty_body(rng) for _ in range(COUNT)]

    def ask(body):
        return http.post(PATH, content=body, headers={"content-type": "application/json"}).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = set(pool.map(ask, bodies))
    assert statuses >= {200, 400}
    assert max(statuses) < 500
    time.sleep(RETRY_SECONDS)  # those who were refused would have come back
    with ThreadPoolExecutor(2) as pool:  # as many pictures as there is room for
        assert list(pool.map(lambda n: http.post(PATH, json={"prompt": "two owls", "n": n}).status_code, (10, 6))) == [
            200,
            200,
        ]
    assert http.get("/healthz").status_code == 200
