"""Streams as the official OpenAI client reads them, and what becomes of them when either side breaks."""

import base64
import io
import json

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from serving.gateway.order import preview_steps
from serving.triton.client import BrokenError
from tests.unit.serving.gateway.fake_server import pixels_of
from tests.waiting import wait_for

BODY = {"prompt": "two owls", "seed": 3, "stream": True, "partial_images": 3}


def test_previews_come_in_order_and_then_the_picture(client, server):
    server.pause_at_step = 7
    events = []
    with client.images.generate(
        prompt="two owls", stream=True, partial_images=3, extra_body={"seed": 3, "num_inference_steps": 8}
    ) as stream:
        for event in stream:
            events.append(event)
            if len(events) == 3:
                server.pause_at_step = 0  # not before the previews have come
    assert [event.type for event in events] == ["image_generation.partial_image"] * 3 + ["image_generation.completed"]
    assert [event.partial_image_index for event in events[:3]] == [0, 1, 2]
    assert [event.model_extra["step"] for event in events] == [2, 4, 6, 8]
    assert (events[3].size, events[3].output_format, events[3].usage) == ("96x64", "png", None)
    for event in events:
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(event.b64_json))))
        wanted = pixels_of(server.packages["student"], server.jobs[0], event.model_extra["step"])
        np.testing.assert_array_equal(picture, wanted)


def test_without_previews_only_pictures_come_and_none_is_asked_for(client, server):
    with client.images.generate(prompt="two owls", stream=True, n=3) as stream:
        events = list(stream)
    assert {event.type for event in events} == {"image_generation.completed"}
    assert sorted(event.model_extra["index"] for event in events) == [0, 1, 2]
    assert not any(job.previews for job in server.jobs)


@pytest.mark.parametrize(
    ("steps", "count", "shown"),
    [
        (3, 0, set()),
        (3, 1, {2}),
        (3, 2, {1, 2}),
        (3, 3, {1, 2}),
        (8, 3, {2, 4, 6}),
        (8, 100, set(range(1, 8))),
        (1, 3, set()),
    ],
)
def test_previews_are_spread_evenly_and_never_the_last_step(steps, count, shown):
    assert preview_steps(steps, count) == shown


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n", [1, 4])
def test_a_caller_who_leaves_gives_up_every_picture_within_a_step(gateway, http, server, stream, n):
    server.pause_at_step = 8
    body = {**BODY, "n": n, "stream": stream}
    if stream:
        with http.stream("POST", "/v1/images/generations", json=body) as answer:
            next(answer.iter_lines())
    else:
        with pytest.raises(httpx.ReadTimeout):
            http.post("/v1/images/generations", json=body, timeout=0.5)
    wait_for(lambda: server.in_flight == 0, "pictures given up")
    assert len(server.given_up) == n
    status = 'rats_requests_total{status="%s"} 1.0' % ("200" if stream else "499")
    wait_for(lambda: status in http.get("/metrics").text, "the count")
    assert "rats_requests_in_flight 0.0" in http.get("/metrics").text


def test_a_failure_after_the_first_preview_is_an_event_that_openai_raises(client, server):
    server.failure, server.fail_at_step = BrokenError("stub died"), 4
    server.step_seconds = 0.01
    with client.images.generate(prompt="two owls", stream=True, partial_images=3) as stream:
        assert next(stream).type == "image_generation.partial_image"
        with pytest.raises(openai.APIError, match="cannot draw right now"):
            list(stream)


def test_an_event_is_one_line_of_json_under_its_name(http):
    lines = http.post("/v1/images/generations", json=BODY).text.split("\n\n")
    event, data = lines[0].split("\n")
    assert event == "event: image_generation.partial_image"
    assert json.loads(data.removeprefix("data: "))["seed"] == 3
