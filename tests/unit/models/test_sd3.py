"""Our sampler and stock diffusers draw the same pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusion3Pipeline

from rats_train.errors import UserError
from rats_train.models.sd3 import SD3, load_sd3
from rats_train.sampling.draw import draw, to_uint8
from rats_train.sampling.noise import initial_noise
from rats_train.sampling.schedule import student_sigmas, teacher_sigmas

PROMPTS = ["two owls", "a fox above a frog, sky blue background", "one cat"]
SEEDS = [3, 1, 4]


@pytest.fixture(scope="module")
def model(tiny_pipeline_dir: Path) -> SD3:
    return load_sd3(tiny_pipeline_dir)


def stock_pixels(path: Path, steps: int, guidance_scale: float) -> np.ndarray:
    pipeline = DiffusionPipeline.from_pretrained(path, text_encoder_3=None, tokenizer_3=None)
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    images = pipeline(PROMPTS, num_inference_steps=steps, guidance_scale=guidance_scale, generator=generators).images
    return np.stack([np.asarray(image) for image in images])


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("steps", [3, 5, 8, 50])
def test_teacher_pixels_equal_stock_diffusers(
    model: SD3, tiny_pipeline_dir: Path, steps: int, guidance_scale: float
) -> None:
    ours = draw(model, PROMPTS, SEEDS, sigmas=teacher_sigmas(steps), guidance_scale=guidance_scale, batch_size=3)
    pixels = to_uint8(ours)
    assert np.array_equal(pixels, stock_pixels(tiny_pipeline_dir, steps, guidance_scale))
    assert pixels.std() > 5  # a flat picture would equal anything


@pytest.mark.parametrize("steps", [3, 5, 8, 50])
def test_saved_student_draws_the_same_pixels_in_stock_diffusers(model: SD3, tmp_path: Path, steps: int) -> None:
    torch.manual_seed(0)
    weights = {name: w + 0.05 * torch.randn_like(w) for name, w in model.transformer.state_dict().items()}
    model.save_student(tmp_path / "student", weights, terminal_sigma=0.25, steps=[3, 5, 8])
    student = load_sd3(tmp_path / "student")
    ours = draw(student, PROMPTS, SEEDS, sigmas=student_sigmas(steps, 0.25), guidance_scale=1.0, batch_size=3)
    assert np.array_equal(to_uint8(ours), stock_pixels(tmp_path / "student", steps, 1.0))


def test_merged_padding_has_the_velocity_and_gradient_of_the_stock_forward(model: SD3, tiny_pipeline_dir: Path) -> None:
    stock = StableDiffusion3Pipeline.from_pretrained(tiny_pipeline_dir, text_encoder_3=None, tokenizer_3=None)
    context, _, pooled, _ = stock.encode_prompt(PROMPTS, None, None, do_classifier_free_guidance=False)
    latents, sigma = initial_noise(SEEDS, (4, 16, 16)), torch.tensor([0.9, 0.5, 0.1])
    expected = stock.transformer(latents, context, pooled, sigma * 1000, return_dict=False)[0]
    velocity = model.velocity(latents, sigma, model.encode_prompts(PROMPTS))
    assert context.shape[1] == 16 + 256
    assert torch.equal(velocity, expected)

    for output in (velocity, expected):
        output.square().mean().backward()
    for (name, ours), theirs in zip(model.transformer.named_parameters(), stock.transformer.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=lambda text, name=name: f"{name}: {text}")
    model.transformer.zero_grad()


def test_decode_clamps_pixels_but_not_their_gradient(model: SD3) -> None:
    latents = (30 * initial_noise([0], (4, 16, 16))).requires_grad_()
    image = model.decode(latents)
    assert image.min() == 0
    assert image.max() == 1
    # A loss that looks at saturated pixels alone still moves the latents.
    (image * (image.detach() == 1)).sum().backward()
    assert latents.grad is not None
    assert latents.grad.abs().max() > 0


def test_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No diffusers folder at .*nowhere"):
        load_sd3(tmp_path / "nowhere")
