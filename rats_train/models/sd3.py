"""Stable Diffusion 3 and 3.5, with or without the T5 encoder.

Prompts, velocity and decoding are those of ``StableDiffusion3Pipeline.__call__``, taken apart so that training can
put its gradient through them; the same prompt, schedule and seed draw the same pixels either way, but for rounding.
"""

from collections.abc import Sequence

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from rats_train.models.base import PromptEmbeds
from rats_train.models.pipeline import PipelineModel, decode_pictures, precision_of
from rats_train.models.schedule import Schedule
from rats_train.models.sd3_attention import weigh_padding
from rats_train.resolution import Resolution

_T5_TOKENS = 256
"""Tokens of the T5 encoder that the stock pipeline takes, if nobody asks for another number."""


class SD3(PipelineModel):
    """A `FlowModel` around the components of a ``StableDiffusion3Pipeline``."""

    takes_guidance = False

    def __init__(self, pipeline: DiffusionPipeline, schedule: Schedule, resolution: Resolution) -> None:
        super().__init__(pipeline, schedule, resolution)
        if pipeline.text_encoder_3 is None:
            weigh_padding(pipeline.transformer)
            self._t5_tokens = 1  # one padding token, which stands for all: see sd3_attention
        else:
            self._t5_tokens = _T5_TOKENS
        factor = pipeline.vae_scale_factor
        self.latent_shape: tuple[int, ...] = (
            pipeline.transformer.config.in_channels,
            resolution.height // factor,
            resolution.width // factor,
        )

    @torch.no_grad()
    def _encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        context, _, pooled, _ = self._pipeline.encode_prompt(
            prompt=list(prompts),
            prompt_2=None,
            prompt_3=None,
            do_classifier_free_guidance=False,
            max_sequence_length=self._t5_tokens,
            device=self._encoding_device,
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
        # Latents keep their precision over the steps; only the network may compute in a lower one.
        dtype = precision_of(weights)
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
        return decode_pictures(self._pipeline.vae, latents)
