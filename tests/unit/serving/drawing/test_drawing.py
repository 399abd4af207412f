"""The served pixels are those of stock diffusers, whatever company a request has."""

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from serving.drawing.draw import draw
from serving.drawing.stepping import Stepper
from serving.keys import signing_keys
from serving.package.verification import verify_package
from serving.packaging.student import package_student
from serving.protocol import Job
from tests.pixels import assert_same_picture

PROMPTS = ["two owls", "a fox", "", "übergroße Füchse, 3 of them, far beyond sixteen tokens of text"]
JOBS = [Job(prompt, seed, steps) for seed, prompt in enumerate(PROMPTS * 3) for steps in (5, 3, 8)]
GUIDED = [Job("a fox", 1, 5, guidance=3.0), Job("two owls", 2, 3, guidance=2.5, negative_prompt="a cat")]


@pytest.fixture(scope="module")
def package(tiny_student_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawing")
    version = package_student(tiny_student_dir, folder / "models", prompts=PROMPTS[:2], keys=folder / "keys")
    return verify_package(version, signing_keys(folder / "keys").public)


@pytest.fixture(scope="module")
def stepper(package):
    return Stepper(package)


def test_pixels_are_those_of_stock_diffusers(stepper, tiny_student_dir):
    pipeline = DiffusionPipeline.from_pretrained(tiny_student_dir, text_encoder_3=None, tokenizer_3=None)
    pipeline.set_progress_bar_config(disable=True)
    for job in [*JOBS[:9], *GUIDED]:
        stock = pipeline(
            job.prompt,
            negative_prompt=job.negative_prompt or None,
            num_inference_steps=job.steps,
            guidance_scale=job.guidance or 1.0,
            generator=torch.Generator().manual_seed(job.seed),
        )
        assert_same_picture(draw(stepper, [job])[0], np.asarray(stock.images[0]))


def test_company_changes_no_pixel(stepper):
    jobs = [*JOBS, *GUIDED]
    for job, pixels in zip(jobs, draw(stepper, jobs), strict=True):
        np.testing.assert_array_equal(pixels, draw(stepper, [job])[0])


def test_different_requests_draw_different_pictures(stepper):
    jobs = [*JOBS, *GUIDED]
    assert len({picture.tobytes() for picture in draw(stepper, jobs)}) == len(jobs)
