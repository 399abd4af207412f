"""The embedded world's autoencoder: 64x64 pixels to 8x16x16 latents, a stock ``AutoencoderKL``."""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from rats_train.world.build.data import scene_pool, to_images
from rats_train.world.build.loop import train

STEPS: Final = 1350
CROP_STEPS: Final = 1050  # first on busy quarters of the scenes, at a quarter of the cost; then on whole ones
CROP: Final = 32
CROP_BATCH: Final = 40
BATCH: Final = 16
POOL: Final = 16_000
SEED: Final = 1


def new_autoencoder() -> AutoencoderKL:
    """Half a million parameters, three levels, most of them where the picture is small."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        sample_size=64,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).to(memory_format=torch.channels_last)


def edges(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels along both axes: they keep outlines crisp."""
    return images.diff(dim=-1), images.diff(dim=-2)


def reconstruction_loss(rebuilt: Tensor, images: Tensor) -> Tensor:
    """Absolute error of pixels and of edges; pixels in [-1, 1]."""
    edge = sum(F.l1_loss(a, b) for a, b in zip(edges(rebuilt), edges(images), strict=True))
    return F.l1_loss(rebuilt, images) + F.mse_loss(rebuilt, images) + edge


@torch.no_grad()
def set_latent_scale(vae: AutoencoderKL, images: Tensor) -> None:
    """Choose shift and scaling so that latents have mean 0 and deviation 1, as flow matching assumes."""
    latents = vae.encode(images * 2 - 1).latent_dist.mean
    vae.register_to_config(shift_factor=latents.mean().item(), scaling_factor=1.0 / latents.std().item())


def busiest_crop(image: Tensor, generator: torch.Generator) -> Tensor:
    """Of four random crops ``[3, CROP, CROP]``, the one in which most happens."""
    corners = torch.randint((image.shape[-1] - CROP) // 4 + 1, (4, 2), generator=generator) * 4
    crops = [image[:, y : y + CROP, x : x + CROP] for y, x in corners.tolist()]
    return max(crops, key=lambda crop: crop.var().item())


def build_autoencoder(out: Path, work: Path) -> None:
    """Train it and write ``out`` as a diffusers directory."""
    torch.manual_seed(SEED)
    vae = new_autoencoder()
    _, pixels = scene_pool(POOL, SEED)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        cropped = step < CROP_STEPS
        rows = torch.randint(POOL, (CROP_BATCH if cropped else BATCH,), generator=generator).numpy()
        images = to_images(np.ascontiguousarray(pixels[rows])) * 2 - 1
        if cropped:
            images = torch.stack([busiest_crop(image, generator) for image in images])
        images = images.to(memory_format=torch.channels_last)
        posterior = vae.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator)
        latents = posterior.mean + posterior.std * noise
        rebuilt = vae.decode(latents).sample
        error = reconstruction_loss(rebuilt, images)
        psnr = -10 * torch.log10(F.mse_loss(rebuilt, images) / 4)
        return error + 1e-5 * posterior.kl().mean(), {"psnr": psnr.item()}

    train(vae, loss, name="autoencoder", steps=STEPS, peak_lr=3e-3, work=work, seed=SEED)
    set_latent_scale(vae, to_images(pixels[:2048]))
    vae.save_pretrained(out)
