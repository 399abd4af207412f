"""The served pixels are those of stock diffusers, whatever company a request has."""

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from serving.drawing import Drawer, Job
from tests.pixels import assert_same_picture

PROMPTS = ["two owls", "a fox", "", "übergroße Füchse, 3 of them, far beyond sixteen tokens of text"]
JOBS = [Job(prompt, seed, steps) for seed, prompt in enumerate(PROMPTS * 3) for steps in (5, 3, 8)]


@pytest.fixture(scope="module")
def drawer(tiny_student_dir):
    return Drawer(tiny_student_dir, guidance_scale=1.0)


def test_pixels_are_those_of_stock_diffusers(drawer, tiny_student_dir):
    pipeline = DiffusionPipeline.from_pretrained(tiny_student_dir, text_encoder_3=None, tokenizer_3=None)
    pipeline.set_progress_bar_config(disable=True)
    for job in JOBS[:9]:
        stock = pipeline(
            job.prompt,
            num_inference_steps=job.steps,
            guidance_scale=1.0,
            generator=torch.Generator().manual_seed(job.seed),
        )
        assert_same_picture(drawer.draw([job])[0], np.asarray(stock.images[0]))


def test_company_changes_no_pixel(drawer):
    for job, pixels in zip(JOBS, drawer.draw(JOBS), strict=True):
        np.testing.assert_array_equal(pixels, drawer.draw([job])[0])


def test_different_requests_draw_different_pictures(drawer):
    assert len({picture.tobytes() for picture in drawer.draw(JOBS)}) == len(JOBS)
