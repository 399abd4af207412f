"""Wan 2.1 text-to-video: latents have an axis of frames, and a picture is a video of one.

Prompts, velocity and decoding are those of ``WanPipeline.__call__``, taken apart so that training can put its
gradient through them.
"""

from collections.abc import Sequence

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from rats_train.errors import UserError
from rats_train.models.base import PromptEmbeds
from rats_train.models.pipeline import PipelineModel, precision_of, to_unit_range
from rats_train.models.schedule import Schedule
from rats_train.resolution import Resolution

_T5_TOKENS = 512
"""Tokens of the UMT5 encoder that the stock pipeline takes, if nobody asks for another number."""


class Wan(PipelineModel):
    """A `FlowModel` around the components of a ``WanPipeline``.

    Raises:
        UserError: it has two transformers (Wan 2.2), or the frames do not fill its latents.
    """

    takes_guidance = False

    def __init__(self, pipeline: DiffusionPipeline, schedule: Schedule, resolution: Resolution) -> None:
        if pipeline.transformer_2 is not None or pipeline.config.expand_timesteps:
            raise UserError("This WanPipeline is of Wan 2.2, which draws by two transformers: name a Wan 2.1 folder.")
        super().__init__(pipeline, schedule, resolution)
        space, time = pipeline.vae_scale_factor_spatial, pipeline.vae_scale_factor_temporal
        if (resolution.frames - 1) % time:
            raise UserError(
                f"resolution.frames is {resolution.frames}: one frame and then {time} at a time fill the latents; "
                f"write {(resolution.frames - 1) // time * time + 1}."
            )
        self.latent_shape: tuple[int, ...] = (
            pipeline.transformer.config.in_channels,
            (resolution.frames - 1) // time + 1,
            resolution.height // space,
            resolution.width // space,
        )

    @torch.no_grad()
    def _encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        context, _ = self._pipeline.encode_prompt(
            prompt=list(prompts),
            do_classifier_free_guidance=False,
            max_sequence_length=_T5_TOKENS,
            device=self._encoding_device,
        )
        return PromptEmbeds(context)

    def velocity(
        self,
        latents: Tensor,
        sigma: Tensor,
        embeds: PromptEmbeds,
        transformer: nn.Module | None = None,
        guidance_scale: float | Tensor = 1.0,
    ) -> Tensor:
        """Velocity[B, C, T, h, w] at latents[B, C, T, h, w] and sigma[B]; ``transformer`` lends other weights."""
        weights = self.transformer if transformer is None else transformer
        dtype = precision_of(weights)
        velocity: Tensor = weights(
            hidden_states=latents.to(dtype),
            timestep=sigma * 1000,
            encoder_hidden_states=embeds.context.to(dtype),
            return_dict=False,
        )[0]
        return velocity.to(latents.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """Videos[B, T, 3, H, W] in [0, 1]. The gradient passes straight through the clamp to that range."""
        vae = self._pipeline.vae
        mean, std = (
            torch.tensor(values, device=latents.device).view(-1, 1, 1, 1)
            for values in (vae.config.latents_mean, vae.config.latents_std)
        )
        pixels = vae.decode((latents * std + mean).to(vae.dtype), return_dict=False)[0]
        return to_unit_range(pixels.transpose(1, 2))
