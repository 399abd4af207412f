"""Every family draws what stock diffusers draws, from its own folder and from that of its student."""

import copy
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, FluxPipeline
from torch import Tensor

from rats_train.errors import UserError
from rats_train.files import read_json, write_json
from rats_train.models.base import FlowModel
from rats_train.models.flux import pack, unpack
from rats_train.models.load import load_model
from rats_train.resolution import Resolution
from rats_train.sampling.draw import draw
from tests.tiny_pipelines import tiny_flux, tiny_sd3, tiny_wan

PROMPTS, SEEDS = ["two owls", "a fox"], [3, 1]


@dataclass(frozen=True)
class Family:
    """A tiny pipeline of a family in a folder, and how to call the stock one for the same pictures."""

    name: str
    path: Path
    resolution: Resolution
    call: dict[str, Any] = field(default_factory=dict)

    def load(self, path: Path | None = None) -> FlowModel:
        return load_model(path or self.path, self.resolution if path is None else None, family=self.name)

    def stock(self, path: Path, steps: int, guidance_scale: float) -> Tensor:
        """Pictures or videos of `PROMPTS` by stock diffusers."""
        pipeline = DiffusionPipeline.from_pretrained(path)
        pipeline.set_progress_bar_config(disable=True)
        if not isinstance(pipeline.scheduler, FlowMatchEulerDiscreteScheduler):
            # Wan comes with a multistep scheduler; the same levels by Euler steps are what is distilled.
            pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=pipeline.scheduler.config.flow_shift)
        size = {"height": self.resolution.height, "width": self.resolution.width}
        generator = [torch.Generator().manual_seed(seed) for seed in SEEDS]
        options = {"num_inference_steps": steps, "guidance_scale": guidance_scale, "generator": generator}
        drawn = pipeline(PROMPTS, **size, **options, **self.call, output_type="pt")
        return drawn.frames if self.call else drawn.images


@pytest.fixture(scope="module", params=["sd3", "flux", "wan"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / request.param
    if request.param == "wan":
        tiny_wan().save_pretrained(path)
        return Family("wan", path, Resolution(height=32, width=48, frames=5), {"num_frames": 5})
    pipeline = tiny_sd3(t5=True, shift=3.0) if request.param == "sd3" else tiny_flux()
    pipeline.save_pretrained(path)
    return Family(request.param, path, Resolution(height=64, width=96 if request.param == "flux" else 64))


@pytest.mark.parametrize("steps", [3, 5, 8, 50])
def test_our_sampler_draws_what_stock_diffusers_draws(family: Family, steps: int) -> None:
    model, drawn = family.load(), {}
    for guidance_scale in (1.0, 3.0):
        options = {"sigmas": model.sigmas(steps), "guidance_scale": guidance_scale, "batch_size": 2}
        drawn[guidance_scale] = draw(model, PROMPTS, SEEDS, **options)
        stock = family.stock(family.path, steps, guidance_scale)
        torch.testing.assert_close(drawn[guidance_scale], stock, atol=1e-4, rtol=0)
    assert drawn[1.0].std() > 0.05  # a flat picture would equal anything
    assert (drawn[1.0] - drawn[3.0]).abs().max() > 1e-3  # and so would guidance that guides nothing


@pytest.fixture(scope="module")
def moved(family: Family) -> torch.nn.Module:
    """Trained weights, as far as this file is concerned."""
    torch.manual_seed(0)
    transformer = copy.deepcopy(family.load().transformer)
    with torch.no_grad():
        for weight in transformer.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.05)
    return transformer


def test_a_student_draws_the_same_while_trained_when_loaded_and_in_stock_diffusers(
    family: Family, moved: torch.nn.Module, tmp_path: Path
) -> None:
    model, guidance_scale = family.load(), 3.5 if family.name == "flux" else 1.0
    path = tmp_path / "student"
    model.save_student(path, moved.state_dict(), terminal_sigma=0.25, steps=[3, 5], guidance_scale=guidance_scale)
    student = family.load(path)
    assert student.resolution == family.resolution
    assert read_json(path / "rats_student.json")["guidance_scale"] == guidance_scale
    for steps in (3, 5, 8, 50):
        sigmas = student.sigmas(steps)
        torch.testing.assert_close(sigmas[[0, -2, -1]], torch.tensor([1.0, 0.25, 0.0]))
        options = {"sigmas": sigmas, "guidance_scale": guidance_scale, "batch_size": 2}
        stock = family.stock(path, steps, guidance_scale)
        torch.testing.assert_close(draw(student, PROMPTS, SEEDS, **options), stock, atol=1e-4, rtol=0)
        trained = draw(model, PROMPTS, SEEDS, **options, transformer=moved)
        torch.testing.assert_close(trained, stock, atol=1e-4, rtol=0)


def test_gradient_reaches_every_weight_through_velocity_and_the_latents_through_the_decoder(family: Family) -> None:
    model = family.load()
    latents = torch.randn(2, *model.latent_shape, requires_grad=True)
    embeds = model.encode_prompts(PROMPTS)
    model.velocity(latents, torch.tensor([0.9, 0.5]), embeds, guidance_scale=2.0).square().mean().backward()
    # The last block passes no context on, so what would make it one has no gradient in stock diffusers either.
    without = [name for name, weight in model.transformer.named_parameters() if weight.grad is None]
    assert not without
    latents.grad = None
    pixels = model.decode(latents)
    assert pixels.shape[-2:] == (family.resolution.height, family.resolution.width)
    assert pixels.ndim == (5 if family.name == "wan" else 4)
    pixels.mean().backward()
    assert latents.grad.abs().max() > 0


def test_packing_is_that_of_the_stock_pipeline() -> None:
    latents = torch.arange(2 * 4 * 6 * 8.0).view(2, 4, 6, 8)
    assert torch.equal(pack(latents), FluxPipeline._pack_latents(latents, 2, 4, 6, 8))
    assert torch.equal(unpack(pack(latents), 6, 8), latents)


def test_flux_levels_shift_with_the_resolution(tmp_path: Path) -> None:
    tiny_flux().save_pretrained(tmp_path)
    small, large = (load_model(tmp_path, Resolution(height=side, width=side)).sigmas(8) for side in (64, 512))
    assert (large[1:-1] > small[1:-1]).all()
    assert load_model(tmp_path).resolution == Resolution(height=512, width=512)


def test_another_family_or_an_unknown_one_is_one_line(family: Family, tmp_path: Path) -> None:
    other = "sd3" if family.name == "flux" else "flux"
    with pytest.raises(UserError, match=rf"the family {other} needs a .*; write family: {family.name}"):
        load_model(family.path, family=other)
    write_json(tmp_path / "model_index.json", {"_class_name": "StableDiffusionPipeline"})
    with pytest.raises(UserError, match=r"is a StableDiffusionPipeline; RATS knows .*FluxPipeline"):
        load_model(tmp_path, family="sd3")


def test_a_scheduler_of_no_flow_and_a_missing_config_are_one_line(family: Family, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(family.path, broken)
    write_json(broken / "scheduler" / "scheduler_config.json", {"_class_name": "DDIMScheduler"})
    with pytest.raises(UserError, match=r"scheduler is a DDIMScheduler: .*FlowMatchEulerDiscreteScheduler"):
        load_model(broken, family.resolution)
    (broken / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(UserError, match=r"no scheduler/scheduler_config\.json: the folder is incomplete"):
        load_model(broken, family.resolution)


def test_frames_that_do_not_fill_the_latents_are_one_line(tmp_path: Path) -> None:
    tiny_wan().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"resolution\.frames is 7: one frame and then 4 at a time .* write 5"):
        load_model(tmp_path, Resolution(height=32, width=32, frames=7))


def test_flux_without_a_guidance_input_is_one_line(tmp_path: Path) -> None:
    pipeline = tiny_flux()
    pipeline.transformer = type(pipeline.transformer).from_config(
        {**pipeline.transformer.config, "guidance_embeds": False}
    )
    pipeline.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"takes no guidance scale, .* name FLUX\.1-dev"):
        load_model(tmp_path)


def test_remembered_prompts_draw_the_same_and_ask_no_encoder(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    model = family.load()
    options = {"sigmas": model.sigmas(3), "guidance_scale": 3.0, "batch_size": 2}
    drawn = draw(model, PROMPTS, SEEDS, **options)
    model.remember_prompts(["", *PROMPTS, *PROMPTS], batch_size=2)
    with monkeypatch.context() as patch:
        patch.setattr(model, "_encode", lambda prompts: pytest.fail(f"encoded {prompts} again"))
        torch.testing.assert_close(draw(model, PROMPTS, SEEDS, **options), drawn, atol=1e-5, rtol=0)
    assert len(model.encode_prompts(["a new one"])) == 1


def test_in_bf16_all_but_the_decoder_is(family: Family) -> None:
    model = load_model(family.path, family.resolution, torch.bfloat16)
    parts = {name: part for name, part in model._pipeline.components.items() if isinstance(part, torch.nn.Module)}
    for name, part in parts.items():
        kept = {torch.float32} if name == "vae" else {torch.bfloat16}
        # T5 keeps a few of its weights in float32 by itself.
        assert kept <= {weight.dtype for weight in part.parameters()}, name
    options = {"sigmas": model.sigmas(3), "guidance_scale": 1.0, "batch_size": 2}
    error = (draw(model, PROMPTS, SEEDS, **options) - draw(family.load(), PROMPTS, SEEDS, **options)).abs().mean()
    assert 0 < error < 0.02
