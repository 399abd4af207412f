"""FLUX.1, whose transformer is told the guidance scale and sees latents as packed patches.

Prompts, velocity and decoding are those of ``FluxPipeline.__call__``, taken apart so that training can put its
gradient through them. Outside this file latents are pictures [B, 16, h, w] like those of every other family.
"""

from collections.abc import Sequence

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from rats_train.errors import UserError
from rats_train.models.base import PromptEmbeds
from rats_train.models.pipeline import PipelineModel, decode_pictures, precision_of
from rats_train.models.schedule import Schedule
from rats_train.resolution import Resolution

_T5_TOKENS = 512
"""Tokens of the T5 encoder that the stock pipeline takes, if nobody asks for another number."""


class Flux(PipelineModel):
    """A `FlowModel` around the components of a ``FluxPipeline``.

    Raises:
        UserError: its transformer takes no guidance scale (FLUX.1-schnell).
    """

    takes_guidance = True

    def __init__(self, pipeline: DiffusionPipeline, schedule: Schedule, resolution: Resolution) -> None:
        config, factor = pipeline.transformer.config, pipeline.vae_scale_factor
        if not config.guidance_embeds:
            raise UserError("This FluxPipeline takes no guidance scale, as FLUX.1-schnell does not: name FLUX.1-dev.")
        super().__init__(pipeline, schedule, resolution)
        self.latent_shape: tuple[int, ...] = (
            config.in_channels // 4,
            resolution.height // factor,
            resolution.width // factor,
        )

    @torch.no_grad()
    def _encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        context, pooled, _ = self._pipeline.encode_prompt(
            prompt=list(prompts), prompt_2=None, max_sequence_length=_T5_TOKENS, device=self._encoding_device
        )
        return PromptEmbeds(context, pooled)

    def velocity(
        self,
        latents: Tensor,
        sigma: Tensor,
        embeds: PromptEmbeds,
        transformer: nn.Module | None = None,
        guidance_scale: float | Tensor = 1.0,
    ) -> Tensor:
        """Velocity[B, C, h, w] at latents[B, C, h, w] and sigma[B]; ``transformer`` lends another role's weights."""
        weights = self.transformer if transformer is None else transformer
        assert embeds.pooled is not None
        dtype = precision_of(weights)
        height, width = latents.shape[-2:]
        packed: Tensor = weights(
            hidden_states=pack(latents).to(dtype),
            timestep=sigma.to(dtype),
            guidance=torch.as_tensor(guidance_scale).to(sigma).expand_as(sigma),
            encoder_hidden_states=embeds.context.to(dtype),
            pooled_projections=embeds.pooled.to(dtype),
            txt_ids=embeds.context.new_zeros(embeds.context.shape[1], 3, dtype=dtype),
            img_ids=_patch_positions(height // 2, width // 2, latents.device).to(dtype),
            return_dict=False,
        )[0]
        return unpack(packed, height, width).to(latents.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """Images[B, 3, H, W] in [0, 1]. The gradient passes straight through the clamp to that range."""
        return decode_pictures(self._pipeline.vae, latents)


def pack(latents: Tensor) -> Tensor:
    """Tokens[B, h/2 w/2, 4 C] of latents[B, C, h, w]: patches of two by two, row by row."""
    patches = latents.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # B, C, h/2, 2, w/2, 2
    tokens: Tensor = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    return tokens


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """Latents[B, C, height, width] of tokens[B, height/2 width/2, 4 C]: what `pack` made of them."""
    patches = tokens.unflatten(2, (-1, 2, 2)).unflatten(1, (height // 2, width // 2))  # B, h/2, w/2, C, 2, 2
    latents: Tensor = patches.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
    return latents


def _patch_positions(rows: int, columns: int, device: torch.device) -> Tensor:
    """Position ids[rows columns, 3] of the patches: nothing, row, column; made where they are needed, for a CUDA graph
    may copy nothing from the processor."""
    row, column = (torch.arange(count, device=device) for count in (rows, columns))
    row, column = torch.meshgrid(row, column, indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).flatten(0, 1)
