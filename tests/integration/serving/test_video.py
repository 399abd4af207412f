"""A video student, packaged and served by the real Triton: an answer that moves, with stock diffusers' own frames."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image, ImageSequence

from rats_train.models.load import load_model
from rats_train.resolution import Resolution
from serving.endpoint import Endpoint, serve
from serving.keys import signing_keys
from serving.package.verification import verify_package
from serving.packaging.student import package_student
from tests.pixels import assert_same_picture
from tests.tiny_pipelines import tiny_wan

PROMPT, SEED, STEPS = "two owls", 7, 3


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wan")
    tiny_wan().save_pretrained(folder / "teacher")
    model = load_model(folder / "teacher", Resolution(height=32, width=48, frames=5))
    model.save_student(folder / "student", None, terminal_sigma=0.25, steps=[STEPS, 5], guidance_scale=1.0)
    return folder / "student"


@pytest.fixture(scope="module")
def version(student: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_student(student, tmp_path_factory.mktemp("video") / "models", prompts=[PROMPT], keys=keys)


@pytest.fixture(scope="module")
def endpoint(version: Path, keys: Path) -> Iterator[Endpoint]:
    with serve(version.parents[1], http_port=0, keys=keys) as running:
        yield running


def test_a_package_knows_its_video(version: Path, keys: Path) -> None:
    package = verify_package(version, signing_keys(keys).public)
    assert package.is_video
    assert package.canary_pixels().shape == (5, 32, 48, 3)


def test_the_endpoint_answers_with_the_frames_of_stock_diffusers(endpoint: Endpoint, student: Path) -> None:
    client = openai.OpenAI(base_url=f"{endpoint.url}/v1", api_key="unused", max_retries=0)
    extra = {"seed": SEED, "num_inference_steps": STEPS}
    (answer,) = client.images.generate(prompt=PROMPT, response_format="b64_json", extra_body=extra).data
    moving = Image.open(io.BytesIO(base64.b64decode(answer.b64_json)))
    assert moving.format == "WEBP"
    frames = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(moving)])
    stock = DiffusionPipeline.from_pretrained(student)
    drawn = stock(
        PROMPT,
        height=32,
        width=48,
        num_frames=5,
        num_inference_steps=STEPS,
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(SEED),
    ).frames[0]
    assert frames.std() > 5
    assert_same_picture(frames, (drawn * 255).round().astype(np.uint8))


def test_a_jpeg_of_a_video_is_refused_with_what_to_ask_for(endpoint: Endpoint) -> None:
    body = {"prompt": PROMPT, "output_format": "jpeg"}
    answer = httpx.post(f"{endpoint.url}/v1/images/generations", json=body, timeout=60)
    assert answer.status_code == 400
    assert "'webp' or 'png'" in answer.json()["error"]["message"]
