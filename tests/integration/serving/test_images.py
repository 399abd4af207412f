"""The endpoint as the official OpenAI client sees it, and its pixels against stock diffusers."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import openai
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from tests.pixels import assert_same_picture


def pixels(b64_json: str) -> np.ndarray:
    """The picture uint8[H, W, 3] of an answer."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(b64_json))))


def generate(client, prompt, seed, steps, **more):
    extra = {"seed": seed, "num_inference_steps": steps}
    return client.images.generate(prompt=prompt, model="student", extra_body=extra, **more)


@pytest.fixture(scope="module")
def stock(tiny_student_dir):
    """Pixels uint8[H, W, 3] that stock diffusers draws."""
    pipeline = DiffusionPipeline.from_pretrained(tiny_student_dir, text_encoder_3=None, tokenizer_3=None)
    pipeline.set_progress_bar_config(disable=True)

    def draw(prompt: str, seed: int, steps: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        result = pipeline(prompt, num_inference_steps=steps, guidance_scale=1.0, generator=generator)
        return np.asarray(result.images[0])

    return draw


@pytest.mark.parametrize("steps", [3, 5, 8])
def test_pixels_are_those_of_stock_diffusers(client, stock, steps):
    answer = generate(client, "two owls", 41, steps)
    assert_same_picture(pixels(answer.data[0].b64_json), stock("two owls", 41, steps))


def test_pictures_of_one_request_use_consecutive_seeds(client, stock):
    answer = generate(client, "a fox", 7, 3, n=4)
    assert [picture.seed for picture in answer.data] == [7, 8, 9, 10]
    for picture in answer.data:
        assert_same_picture(pixels(picture.b64_json), stock("a fox", picture.seed, 3))


def test_company_changes_no_pixel(client):
    jobs = [(prompt, seed, steps) for seed in range(4) for prompt in ("two owls", "a fox") for steps in (3, 5, 8)]
    with ThreadPoolExecutor(16) as pool:  # as many as there is room for
        answers = list(pool.map(lambda job: generate(client, *job), jobs))
    for job, answer in zip(jobs, answers, strict=True):
        assert answer.data[0].b64_json == generate(client, *job).data[0].b64_json


def test_an_answer_says_what_was_drawn(client):
    answer = client.images.generate(prompt="two owls")
    assert (answer.size, answer.output_format, len(answer.data)) == ("64x64", "png", 1)
    assert answer.model_extra["num_inference_steps"] == 8
    assert answer.model_extra["model"] == "student"
    assert answer.model_extra["inference_time_s"] > 0
    assert answer.model_extra["notes"] == []
    again = generate(client, "two owls", answer.data[0].seed, 8)
    assert again.data[0].b64_json == answer.data[0].b64_json


def test_without_a_seed_pictures_differ(client):
    assert len({client.images.generate(prompt="a fox").data[0].b64_json for _ in range(2)}) == 2


def test_a_prompt_from_outside_is_served_with_a_note(client):
    answer = generate(client, "a dragon", 0, 3)
    assert pixels(answer.data[0].b64_json).shape == (64, 64, 3)
    (note,) = answer.model_extra["notes"]
    assert "'dragon'" in note
    assert "'two owls'" in note


@pytest.mark.parametrize(("output_format", "media_type"), [("png", "image/png"), ("webp", "image/webp")])
def test_urls_lead_to_the_same_pixels(client, stock, output_format, media_type):
    answer = generate(client, "two owls", 3, 3, response_format="url", output_format=output_format)
    assert answer.data[0].b64_json is None
    response = httpx.get(answer.data[0].url)
    assert response.headers["content-type"] == media_type
    picture = np.asarray(Image.open(io.BytesIO(response.content)).convert("RGB"))
    assert_same_picture(picture, stock("two owls", 3, 3))


def test_mistakes_reach_the_openai_client_as_its_own_errors(client):
    with pytest.raises(openai.BadRequestError, match="num_inference_steps must be one of 3, 5, 8, not 4") as error:
        generate(client, "two owls", 0, 4)
    assert error.value.param == "num_inference_steps"
    with pytest.raises(openai.BadRequestError, match="size must be '64x64'"):
        client.images.generate(prompt="two owls", size="1024x1024")
    with pytest.raises(openai.BadRequestError, match="n must be a whole number from 1 to 10"):
        client.images.generate(prompt="two owls", n=11)
    with pytest.raises(openai.BadRequestError, match="did you mean 'seed'"):
        client.images.generate(prompt="two owls", extra_body={"sed": 1})
    with pytest.raises(openai.NotFoundError, match="choose from student"):
        client.images.generate(prompt="two owls", model="dall-e-3")


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(client):
    def ask(seed):
        try:
            return generate(client, "two owls", seed, 8, n=10)
        except openai.RateLimitError as error:
            return error

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(0, 120, 10)))
    refusals = [answer for answer in answers if isinstance(answer, openai.RateLimitError)]
    assert 0 < len(refusals) < len(answers)
    for refusal in refusals:
        assert "pictures are in the making, and there is room for 12 now" in refusal.message
        assert refusal.response.headers["retry-after"] == "1"
    assert len(ask(0).data) == 10
