"""The embedded world's teacher: a small SD3 transformer and its two text encoders, trained by flow matching.

Both CLIP text encoders learn together with the transformer. One prompt in ten is empty, so that guidance works.
"""

from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from rats_train.models.base import PromptEmbeds
from rats_train.models.sd3_attention import weigh_padding
from rats_train.world.build.data import scene_pool, to_images
from rats_train.world.build.loop import train
from rats_train.world.build.tokenizer import MAX_LENGTH, build_tokenizer
from rats_train.world.grammar import train_prompts

STEPS: Final = 14_000
BATCH: Final = 64
POOL: Final = 60_000
SEED: Final = 3
PEAK_LR: Final = 1e-3
EMPTY_SHARE: Final = 0.1
WIDTH: Final = 128
TEXT_WIDTH: Final = 64


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    """A two-layer CLIP text encoder over the grammar's tokenizer."""
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=MAX_LENGTH,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_transformer() -> SD3Transformer2DModel:
    """Six joint blocks of width 128: 64 image tokens, two by two latents each."""
    return SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=8,
        out_channels=8,
        num_layers=6,
        attention_head_dim=32,
        num_attention_heads=WIDTH // 32,
        joint_attention_dim=2 * TEXT_WIDTH,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=2 * TEXT_WIDTH,
        pos_embed_max_size=16,
    )


class Teacher(nn.Module):
    """The trainable parts of the pipeline: transformer and text encoders."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.transformer = new_transformer()
        weigh_padding(self.transformer)
        self.text_encoder = new_text_encoder(tokenizer)
        self.text_encoder_2 = new_text_encoder(tokenizer)

    def encode(self, tokens: Tensor) -> PromptEmbeds:
        """Tokens[B, L] as the stock pipeline encodes them: penultimate layers side by side, then one padding token."""
        outputs = [encoder(tokens, output_hidden_states=True) for encoder in (self.text_encoder, self.text_encoder_2)]
        context = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        context = F.pad(context, (0, 0, 0, 1))
        return PromptEmbeds(context, torch.cat([output.text_embeds for output in outputs], dim=-1))

    def forward(self, latents: Tensor, sigma: Tensor, tokens: Tensor) -> Tensor:
        """Velocity[B, 8, 16, 16]."""
        embeds = self.encode(tokens)
        velocity: Tensor = self.transformer(latents, embeds.context, embeds.pooled, sigma * 1000, return_dict=False)[0]
        return velocity


def training_sigmas(count: int, generator: torch.Generator) -> Tensor:
    """Noise levels[count] to train at: logit-normal, wide and leaning towards noise.

    Background and layout stay unsaid in many prompts and are settled above sigma 0.9, where a standard logit-normal
    puts one draw in seventy: a teacher trained on that blends the layouts it should choose between.
    """
    return torch.sigmoid(0.4 + 1.4 * torch.randn(count, generator=generator))


@torch.no_grad()
def encoded_pool(vae: AutoencoderKL, work: Path) -> Tensor:
    """Scaled latents of all scenes, ``[N, 8, 16, 16]`` half precision; kept in ``work`` for a resumed build."""
    path = work / "latents.safetensors"
    if not path.exists():
        _, pixels = scene_pool(POOL, SEED)
        vae = vae.to(memory_format=torch.channels_last)
        chunks = [vae.encode(to_images(pixels[i : i + 250]) * 2 - 1).latent_dist.mean for i in range(0, POOL, 250)]
        latents = (torch.cat(chunks) - vae.config.shift_factor) * vae.config.scaling_factor
        save_file({"latents": latents.half().contiguous()}, path)
    return load_file(path)["latents"]


def build_teacher(vae_dir: Path, out: Path, work: Path) -> None:
    """Train it and write ``out`` as a stock ``StableDiffusion3Pipeline`` directory."""
    torch.manual_seed(SEED)
    vae = AutoencoderKL.from_pretrained(vae_dir)
    tokenizer = build_tokenizer()
    prompts = train_prompts(POOL, SEED)
    latents = encoded_pool(vae, work)
    tokens = tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids
    empty = tokenizer([""], padding="max_length", return_tensors="pt").input_ids[0]
    model = Teacher(tokenizer)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rows = torch.randint(len(prompts), (BATCH,), generator=generator)
        clean, words = latents[rows].float(), tokens[rows].clone()
        words[torch.rand(BATCH, generator=generator) < EMPTY_SHARE] = empty
        noise = torch.randn(clean.shape, generator=generator)
        sigma = training_sigmas(BATCH, generator)
        wide = sigma.view(-1, 1, 1, 1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            velocity = model((1 - wide) * clean + wide * noise, sigma, words)
        return F.mse_loss(velocity.float(), noise - clean), {}

    train(model, loss, name="teacher", steps=STEPS, peak_lr=PEAK_LR, work=work, seed=SEED, ema_decay=0.9995)
    save_pipeline(model, vae, tokenizer, out)


def save_pipeline(model: Teacher, vae: AutoencoderKL, tokenizer: CLIPTokenizer, out: Path) -> None:
    """Write the stock directory, safetensors only."""
    vae.register_to_config(_name_or_path=None)  # where it was built is nobody's business
    StableDiffusion3Pipeline(
        transformer=model.transformer,
        vae=vae,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        text_encoder=model.text_encoder,
        text_encoder_2=model.text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        text_encoder_3=None,
        tokenizer_3=None,
    ).save_pretrained(out, safe_serialization=True)
