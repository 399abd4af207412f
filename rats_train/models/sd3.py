"""Stable Diffusion 3 and 3.5 from a stock diffusers folder, without the optional T5 encoder.

Prompts, velocity and decoding are those of ``StableDiffusion3Pipeline.__call__``, taken apart so that training can
put its gradient through them; the same prompt, schedule and seed draw the same pixels either way, but for rounding.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import Tensor, nn

from rats_train.errors import UserError
from rats_train.files import write_json
from rats_train.models.base import PromptEmbeds
from rats_train.models.schedulers import student_scheduler
from rats_train.models.sd3_attention import weigh_padding


class SD3:
    """A `FlowModel` around the components of a ``StableDiffusion3Pipeline``; only ``transformer`` is trainable."""

    def __init__(self, pipeline: StableDiffusion3Pipeline) -> None:
        self._pipeline = pipeline
        for frozen in (pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2):
            frozen.requires_grad_(False).eval()
        self.transformer: nn.Module = pipeline.transformer.eval()
        weigh_padding(pipeline.transformer)
        config = pipeline.transformer.config
        self.latent_shape: tuple[int, int, int] = (config.in_channels, config.sample_size, config.sample_size)

    @property
    def device(self) -> torch.device:
        """Where the frozen parts and the own transformer lie."""
        device: torch.device = self._pipeline.device
        return device

    def to(self, device: torch.device | str) -> Self:
        """Move all components, in place."""
        self._pipeline.to(device)
        return self

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        """Encode prompts, without gradient."""
        context, _, pooled, _ = self._pipeline.encode_prompt(
            prompt=list(prompts),
            prompt_2=None,
            prompt_3=None,
            do_classifier_free_guidance=False,
            max_sequence_length=1,  # one padding token, which stands for all: see sd3_attention
        )
        return PromptEmbeds(context, pooled)

    def velocity(
        self, latents: Tensor, sigma: Tensor, embeds: PromptEmbeds, transformer: nn.Module | None = None
    ) -> Tensor:
        """Velocity[B, C, h, w] at latents[B, C, h, w] and sigma[B]; ``transformer`` lends another role's weights."""
        weights = self.transformer if transformer is None else transformer
        # Latents keep their precision over the steps; only the network may compute in a lower one.
        dtype = next(weights.parameters()).dtype
        velocity: Tensor = weights(
            hidden_states=latents.to(dtype),
            timestep=sigma * 1000,
            encoder_hidden_states=embeds.context.to(dtype),
            pooled_projections=embeds.pooled.to(dtype),
            return_dict=False,
        )[0]
        return velocity.to(latents.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """Images[B, 3, H, W] in [0, 1]. The gradient passes straight through the clamp to that range."""
        vae = self._pipeline.vae
        latents = latents / vae.config.scaling_factor + vae.config.shift_factor
        pixels = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
        image: Tensor = _StraightThroughClamp.apply(pixels.float() * 0.5 + 0.5)
        return image

    def save_student(
        self, path: str | Path, state_dict: dict[str, Tensor] | None, terminal_sigma: float, steps: list[int]
    ) -> None:
        """Write a stock diffusers folder that draws on the student's schedule, and ``rats_student.json`` beside it.

        ``state_dict`` replaces the transformer's weights; None saves those loaded. The folder appears whole.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        student = StableDiffusion3Pipeline(
            **{
                **self._pipeline.components,
                "transformer": self._with_weights(state_dict),
                "scheduler": student_scheduler(terminal_sigma),
            }
        )
        scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        student.save_pretrained(scratch, safe_serialization=True)
        resolution = self.latent_shape[-1] * student.vae_scale_factor
        card = {"steps": steps, "guidance_scale": 1.0, "terminal_sigma": terminal_sigma, "resolution": resolution}
        write_json(scratch / "rats_student.json", card)
        scratch.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        scratch.replace(path)

    def _with_weights(self, state_dict: dict[str, Tensor] | None) -> nn.Module:
        if state_dict is None:
            return self.transformer
        own = self._pipeline.transformer
        transformer: nn.Module = SD3Transformer2DModel.from_config(own.config).to(own.dtype)
        transformer.load_state_dict(state_dict)
        return transformer


class _StraightThroughClamp(torch.autograd.Function):
    """Clamp to [0, 1] on the way out, identity on the way back: a saturated pixel can still be pulled into range."""

    @staticmethod
    def forward(_: Any, image: Tensor) -> Tensor:
        return image.clamp(0, 1)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def load_sd3(path: str | Path, dtype: torch.dtype = torch.float32) -> SD3:
    """Load a ``StableDiffusion3Pipeline`` folder; nothing is fetched, and a T5 encoder in it is left out.

    Raises:
        UserError: the folder is missing, is not a Stable Diffusion 3 pipeline, or has a shifted schedule.
    """
    index = Path(path) / "model_index.json"
    if not index.is_file():
        raise UserError(f"No diffusers folder at {path} (no model_index.json in it): name a StableDiffusion3 folder.")
    kind = json.loads(index.read_text())["_class_name"]
    if kind != "StableDiffusion3Pipeline":
        raise UserError(f"{path} is a {kind}: the family sd3 needs a StableDiffusion3Pipeline folder.")
    pipeline = StableDiffusion3Pipeline.from_pretrained(
        path, text_encoder_3=None, tokenizer_3=None, dtype=dtype, local_files_only=True
    )
    shift = pipeline.scheduler.config.shift
    if shift != 1:
        raise UserError(
            f"{path} draws on noise levels shifted by {shift}: this version knows unshifted ones only; "
            "set shift to 1.0 in its scheduler/scheduler_config.json."
        )
    return SD3(pipeline)
