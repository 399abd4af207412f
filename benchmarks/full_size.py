"""SD3.5-medium, FLUX.1-dev and a ViT-H reward in their published sizes, with random weights: for timings without a hub.

Text encoders are left out: a training that offloads them meets embeddings alone, and these are random too.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, T5Config, T5EncoderModel

from rats_train.files import write_json
from rats_train.models.base import FlowModel, PromptEmbeds
from rats_train.models.flux import Flux
from rats_train.models.folder import PipelineFolder
from rats_train.models.schedule import read_schedule
from rats_train.models.sd3 import SD3
from rats_train.resolution import Resolution
from rats_train.rewards.base import NOTHING, Extras, Traits

VAE: Final = {
    "latent_channels": 16,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
FLUX: Final = {
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
}
SD35_MEDIUM: Final = {
    "sample_size": 128,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "in_channels": 16,
    "out_channels": 16,
    "pos_embed_max_size": 384,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
PROMPT: Final = "a prompt"


def flux1_dev(device: torch.device) -> DiffusionPipeline:
    """FLUX.1-dev, 11.9 B parameters, in bf16 around an fp32 decoder."""
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=AutoencoderKL(**VAE, scaling_factor=0.3611, shift_factor=0.1159).to(device),
        transformer=_random(lambda: FluxTransformer2DModel(**FLUX), device),
        **dict.fromkeys(("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")),
    )


def sd35_medium(device: torch.device) -> DiffusionPipeline:
    """Stable Diffusion 3.5 medium, 2.2 B parameters, in bf16 around an fp32 decoder."""
    smallest = T5EncoderModel(T5Config(vocab_size=8, d_model=8, d_kv=8, d_ff=8, num_layers=1, num_heads=1))
    return StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=AutoencoderKL(**VAE, scaling_factor=1.5305, shift_factor=0.0609).to(device),
        transformer=_random(lambda: SD3Transformer2DModel(**SD35_MEDIUM), device),
        text_encoder_3=smallest,  # that it is there is all that is asked of it
        **dict.fromkeys(("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "tokenizer_3")),
    )


EMBEDS: Final = {FluxPipeline: (512, 4096, 768), StableDiffusion3Pipeline: (77 + 256, 4096, 2048)}
"""Tokens and width of a prompt's context, and width of its summary."""


def as_model(pipeline: DiffusionPipeline, resolution: Resolution, folder: Path) -> FlowModel:
    """The pipeline as the model of its family, with `PROMPT` and none encoded; ``folder`` gets its configs."""
    for part in ("scheduler", "vae", "transformer"):
        getattr(pipeline, part).save_config(folder / part)
    write_json(folder / "model_index.json", {"_class_name": type(pipeline).__name__})
    schedule = read_schedule(PipelineFolder(folder), resolution)
    model = (Flux if isinstance(pipeline, FluxPipeline) else SD3)(pipeline, schedule, resolution)
    tokens, width, pooled = EMBEDS[type(pipeline)]
    embeds = PromptEmbeds(torch.randn(1, tokens, width), torch.randn(1, pooled))
    model.remember({PROMPT: embeds, "": embeds})
    return model


class VisionReward:
    """A reward of the size of HPSv2's and PickScore's image side (ViT-H/14): likeness to a fixed direction."""

    name, weight, traits = "vit_h", 1.0, Traits(differentiable=True, low=-1.0, high=1.0)

    def __init__(self, config: CLIPVisionConfig, device: torch.device) -> None:
        self._model = CLIPVisionModelWithProjection(config).to(device, torch.bfloat16).eval().requires_grad_(False)
        self._size, self._direction = config.image_size, torch.randn(config.projection_dim, device=device)

    def score(self, images: Tensor, prompts: Sequence[str], extras: Extras = NOTHING) -> Tensor:
        """Reward[B] of images[B, 3, H, W] in [0, 1], with gradient; it reads nothing else."""
        small = F.interpolate(images, (self._size, self._size), mode="bicubic", antialias=True)
        features = self._model(small.to(torch.bfloat16)).image_embeds.float()
        return F.cosine_similarity(features, self._direction[None])


def vit_h(device: torch.device) -> VisionReward:
    """ViT-H/14 at 224 pixels."""
    sizes = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16}
    return VisionReward(CLIPVisionConfig(**sizes, patch_size=14, image_size=224, projection_dim=1024), device)


def _random(make: Callable[[], torch.nn.Module], device: torch.device) -> torch.nn.Module:
    """A network with small random weights, made where it will lie: twelve billion numbers take long elsewhere."""
    with torch.device("meta"):
        network = make().to(torch.bfloat16)
    network = network.to_empty(device=device)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.02)
        for buffer in network.buffers():
            buffer.zero_()
    return network
