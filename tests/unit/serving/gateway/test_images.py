"""What the official OpenAI client gets, and what is asked of the model server for it."""

import base64
import io

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from rats_train.resolution import Resolution
from serving.protocol import MAX_SEED, Job
from serving.triton.client import BrokenError, BusyError, RefusedError
from tests.unit.serving.gateway.conftest import running
from tests.unit.serving.gateway.fake_server import FakeServer, package, pixels_of


def pixels(b64_json):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(b64_json))).convert("RGB"))


def test_a_plain_request_draws_with_all_steps_and_says_what_was_drawn(client, server):
    answer = client.images.generate(prompt="two owls")
    (job,) = server.jobs
    assert job == Job("two owls", answer.data[0].seed, 8)
    np.testing.assert_array_equal(pixels(answer.data[0].b64_json), pixels_of(server.packages["student"], job, 8))
    assert (answer.size, answer.output_format) == ("96x64", "png")
    extra = answer.model_extra
    assert (extra["model"], extra["num_inference_steps"], extra["notes"]) == ("student", 8, [])
    assert extra["inference_time_s"] > 0


def test_pictures_of_one_request_have_consecutive_seeds_in_order(client, server):
    answer = client.images.generate(prompt="two owls", n=10, extra_body={"seed": 7, "num_inference_steps": 3})
    assert [picture.seed for picture in answer.data] == list(range(7, 17))
    for picture in answer.data:
        wanted = pixels_of(server.packages["student"], Job("two owls", picture.seed, 3), 3)
        np.testing.assert_array_equal(pixels(picture.b64_json), wanted)


def test_what_openai_cannot_say_reaches_the_model_server(client, server):
    extra = {"seed": 1, "num_inference_steps": 5, "negative_prompt": "rain", "guidance_scale": 2, "adapter": "sketch"}
    client.images.generate(prompt="two owls", size="96x64", user="u1", extra_body=extra)
    assert server.jobs == [Job("two owls", 1, 5, 2.0, "rain", "sketch")]


@pytest.mark.parametrize("output_format", ["png", "webp", "jpeg"])
def test_urls_lead_to_the_picture(client, output_format):
    answer = client.images.generate(prompt="two owls", response_format="url", output_format=output_format)
    assert answer.data[0].b64_json is None
    response = httpx.get(answer.data[0].url)
    assert response.headers["content-type"] == f"image/{output_format}"
    assert Image.open(io.BytesIO(response.content)).format.lower() == output_format


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"extra_body": {"num_inference_steps": 4}}, openai.BadRequestError, "must be one of 3, 5, 8, not 4"),
        ({"size": "1024x1024"}, openai.BadRequestError, "size must be '96x64'"),
        ({"n": 11}, openai.BadRequestError, "n must be a whole number from 1 to 10"),
        ({"extra_body": {"sed": 1}}, openai.BadRequestError, "did you mean 'seed'"),
        ({"extra_body": {"seed": MAX_SEED}, "n": 2}, openai.BadRequestError, "consecutive seeds"),
        ({"model": "dall-e-3"}, openai.NotFoundError, "choose from student"),
        ({"stream": True, "response_format": "url"}, openai.BadRequestError, "must be 'b64_json' in a stream"),
        ({"stream": True, "partial_images": 101}, openai.BadRequestError, "partial_images must be a whole number"),
    ],
)
def test_mistakes_reach_the_openai_client_as_its_own_errors(client, server, request_, error, message):
    with pytest.raises(error, match=message):
        client.images.generate(prompt="two owls", **request_)
    assert not server.jobs


@pytest.mark.parametrize(
    ("failure", "error", "message", "retry_after"),
    [
        (RefusedError("NEGATIVE_PROMPT has no effect"), openai.BadRequestError, "negative_prompt has no effect", None),
        (BusyError("Exceeds maximum queue size"), openai.RateLimitError, "too many pictures are waiting", "1"),
        (BrokenError("stub died"), openai.InternalServerError, "cannot draw right now .stub died.", "5"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_failures_of_the_model_server_have_a_status_even_where_a_stream_was_asked_for(
    client, server, failure, error, message, retry_after, stream
):
    server.failure = failure
    with pytest.raises(error, match=message) as raised:
        client.images.generate(prompt="two owls", stream=stream, partial_images=3)
    assert raised.value.response.headers.get("retry-after") == retry_after


def test_one_failed_picture_gives_up_the_others(client, server):
    server.failure, server.fail_seed, server.pause_at_step = BrokenError("stub died"), 3, 2
    with pytest.raises(openai.InternalServerError):
        client.images.generate(prompt="two owls", n=10, extra_body={"seed": 0})
    assert sorted(job.seed for job in server.given_up) == [0, 1, 2, 4, 5, 6, 7, 8, 9]


def test_a_fault_of_ours_is_a_500_in_openai_shape_that_tells_nothing(http, server):
    server.failure = ValueError("secret detail")
    answer = http.post("/v1/images/generations", json={"prompt": "two owls"})
    assert answer.status_code == 500
    assert "fault of ours" in answer.json()["error"]["message"]
    assert "secret" not in answer.text


def test_a_prompt_from_outside_is_served_with_a_note(client):
    answer = client.images.generate(prompt="a dragon")
    assert "'dragon'" in answer.model_extra["notes"][0]


def test_a_video_is_a_webp_that_moves(tmp_path):
    server = FakeServer([package(tmp_path, resolution=Resolution(height=32, width=32, frames=5))])
    with running(server) as gateway:
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0)
        answer = client.images.generate(prompt="two owls")
        with pytest.raises(openai.BadRequestError, match="a JPEG cannot move"):
            client.images.generate(prompt="two owls", output_format="jpeg")
    assert Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))).n_frames == 5


def test_models_are_listed_and_found(client):
    (model,) = client.models.list().data
    assert client.models.retrieve("student") == model
    assert (model.id, model.model_extra["steps"], model.model_extra["adapters"]) == ("student", [3, 5, 8], ["sketch"])
    with pytest.raises(openai.NotFoundError, match="choose from student"):
        client.models.retrieve("gpt-image-1")


def test_the_teacher_is_never_the_default(tmp_path):
    teacher, zebra = package(tmp_path, "teacher", steps=[50]), package(tmp_path, "zebra")
    with running(FakeServer([teacher, zebra])) as gateway:
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0)
        assert client.images.generate(prompt="two owls").model_extra["model"] == "zebra"
        assert client.images.generate(prompt="two owls", model="teacher").model_extra["num_inference_steps"] == 50
