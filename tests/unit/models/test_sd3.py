"""Our sampler and stock diffusers draw the same pixels."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusion3Pipeline

from rats_train.errors import UserError
from rats_train.files import read_json, sha256_tree
from rats_train.models.load import load_model
from rats_train.models.schedule import Schedule
from rats_train.models.sd3 import SD3
from rats_train.sampling.draw import draw, to_uint8
from rats_train.sampling.noise import initial_noise
from tests.pixels import assert_same_picture

PROMPTS = ["two owls", "a fox above a frog, sky blue background", "one cat"]
SEEDS = [3, 1, 4]


@pytest.fixture(scope="module")
def model(tiny_pipeline_dir: Path) -> SD3:
    return load_model(tiny_pipeline_dir)


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
    ours = draw(model, PROMPTS, SEEDS, sigmas=Schedule().sigmas(steps), guidance_scale=guidance_scale, batch_size=3)
    pixels = to_uint8(ours)
    assert_same_picture(pixels, stock_pixels(tiny_pipeline_dir, steps, guidance_scale))
    assert pixels.std() > 5  # a flat picture would equal anything


@pytest.fixture(scope="module")
def student(model: SD3) -> torch.nn.Module:
    """Trained weights, as far as this file is concerned."""
    torch.manual_seed(0)
    transformer = copy.deepcopy(model.transformer)
    with torch.no_grad():
        for weight in transformer.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.05)
    return transformer


@pytest.fixture(scope="module")
def student_dir(model: SD3, student: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "student"
    model.save_student(path, student.state_dict(), terminal_sigma=0.25, steps=[3, 5, 8], guidance_scale=1.0)
    return path


@pytest.mark.parametrize("steps", [3, 5, 8, 50])
def test_a_student_draws_the_same_pixels_while_trained_when_loaded_and_in_stock_diffusers(
    model: SD3, student: torch.nn.Module, student_dir: Path, steps: int
) -> None:
    options = {"sigmas": Schedule().ending_at(0.25).sigmas(steps), "guidance_scale": 1.0, "batch_size": 3}
    stock = stock_pixels(student_dir, steps, 1.0)
    assert_same_picture(to_uint8(draw(model, PROMPTS, SEEDS, **options, transformer=student)), stock)
    assert_same_picture(to_uint8(draw(load_model(student_dir), PROMPTS, SEEDS, **options)), stock)


def test_weighed_padding_has_the_stock_velocity_and_gradient(model: SD3, tiny_pipeline_dir: Path) -> None:
    stock = StableDiffusion3Pipeline.from_pretrained(tiny_pipeline_dir, text_encoder_3=None, tokenizer_3=None)
    context, _, pooled, _ = stock.encode_prompt(PROMPTS, None, None, do_classifier_free_guidance=False)
    latents, sigma = initial_noise(SEEDS, (4, 16, 16)), torch.tensor([0.9, 0.5, 0.1])
    expected = stock.transformer(latents, context, pooled, sigma * 1000, return_dict=False)[0]
    velocity = model.velocity(latents, sigma, model.encode_prompts(PROMPTS))
    assert context.shape[1] == 16 + 256
    torch.testing.assert_close(velocity, expected, atol=2e-5, rtol=1e-4)

    for output in (velocity, expected):
        output.square().mean().backward()
    for (name, ours), theirs in zip(model.transformer.named_parameters(), stock.transformer.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=lambda text, name=name: f"{name}: {text}")
    model.transformer.zero_grad()


def test_bf16_weights_draw_nearly_the_same_from_float32_latents(model: SD3, tiny_pipeline_dir: Path) -> None:
    options = {"sigmas": Schedule().ending_at(0.25).sigmas(8), "guidance_scale": 3.0, "batch_size": 3}
    rough = draw(load_model(tiny_pipeline_dir, dtype=torch.bfloat16), PROMPTS, SEEDS, **options)
    assert rough.dtype == torch.float32
    error = (rough - draw(model, PROMPTS, SEEDS, **options)).abs().mean()
    assert 0 < error < 0.02


def test_batches_and_progress_leave_the_pixels_alone(model: SD3) -> None:
    options = {"sigmas": Schedule().ending_at(0.25).sigmas(3), "guidance_scale": 1.0}
    seen: list[tuple[int, int]] = []
    in_batches = draw(
        model, PROMPTS, SEEDS, **options, batch_size=2, on_progress=lambda done, total: seen.append((done, total))
    )
    torch.testing.assert_close(in_batches, draw(model, PROMPTS, SEEDS, **options, batch_size=3))
    assert seen == [(2, 3), (3, 3)]


def test_a_student_trained_in_bf16_lies_in_its_teachers_precision_and_stock_draws_it(
    tiny_pipeline_dir: Path, tmp_path: Path
) -> None:
    trained = load_model(tiny_pipeline_dir, dtype=torch.bfloat16)
    weights = trained.transformer.state_dict()
    trained.save_student(tmp_path / "student", weights, terminal_sigma=0.25, steps=[3], guidance_scale=1.0)
    for part in ("vae", "text_encoder", "text_encoder_2"):
        assert sha256_tree(tmp_path / "student" / part) == sha256_tree(tiny_pipeline_dir / part)
    options = {"sigmas": Schedule().ending_at(0.25).sigmas(3), "guidance_scale": 1.0, "batch_size": 3}
    served = draw(load_model(tmp_path / "student"), PROMPTS, SEEDS, **options)
    assert_same_picture(to_uint8(served), stock_pixels(tmp_path / "student", 3, 1.0))
    again = load_model(tmp_path / "student", dtype=torch.bfloat16)
    torch.testing.assert_close(draw(again, PROMPTS, SEEDS, **options), draw(trained, PROMPTS, SEEDS, **options))


def test_another_roles_weights_draw_their_own_picture(model: SD3) -> None:
    other = copy.deepcopy(model.transformer)
    torch.nn.init.zeros_(other.proj_out.weight)
    options = {"sigmas": Schedule().ending_at(0.25).sigmas(3), "guidance_scale": 1.0, "batch_size": 3}
    theirs = draw(model, PROMPTS, SEEDS, **options, transformer=other)
    assert not torch.allclose(theirs, draw(model, PROMPTS, SEEDS, **options))


def test_saving_is_reproducible_pickle_free_and_replaces_what_was_there(model: SD3, tmp_path: Path) -> None:
    for name in ("one", "two"):
        model.save_student(tmp_path / name, None, terminal_sigma=0.25, steps=[3, 5, 8], guidance_scale=1.0)
    model.save_student(tmp_path / "two", None, terminal_sigma=0.25, steps=[3, 5, 8], guidance_scale=1.0)
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")
    suffixes = {path.suffix for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    assert read_json(tmp_path / "one" / "rats_student.json") == {
        "steps": [3, 5, 8],
        "guidance_scale": 1.0,
        "terminal_sigma": 0.25,
        "resolution": {"height": 64, "width": 64, "frames": 1},
    }


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
        load_model(tmp_path / "nowhere")
