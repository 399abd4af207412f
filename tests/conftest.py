"""Random, tiny, complete models: real classes and files, milliseconds to run."""

import os
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    # Without a GPU, kernels run in Triton's interpreter, which has to be chosen before anything imports triton.
    os.environ["TRITON_INTERPRET"] = "1"

from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from rats_train.files import write_json
from rats_train.models.sd3 import load_sd3

torch.set_num_threads(1)

LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789,.-"]
VOCABULARY = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
MERGES = [("t", "w"), ("tw", "o</w>"), ("o", "w"), ("ow", "l"), ("f", "o"), ("fo", "x</w>")]
TEXT = {
    "vocab_size": len(VOCABULARY) + len(MERGES),
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
    "projection_dim": 16,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


def tiny_tokenizer() -> CLIPTokenizer:
    """A letter-level CLIP tokenizer with a handful of merges."""
    pieces = [*VOCABULARY, *("".join(pair) for pair in MERGES)]
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=MERGES, model_max_length=16)


def tiny_vae() -> AutoencoderKL:
    """An f4 autoencoder: 64x64 pixels to latents[4, 16, 16]."""
    return AutoencoderKL(
        latent_channels=4,
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=1.2,
        shift_factor=0.1,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


@pytest.fixture(scope="session")
def tiny_pipeline_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random StableDiffusion3Pipeline folder: 64x64 pixels, two layers, no T5."""
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        pos_embed_max_size=16,
    )
    # diffusers starts the last projection at zero: such a velocity would hide every mistake upstream of it.
    torch.nn.init.normal_(transformer.proj_out.weight, std=0.3)
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer,
        vae=tiny_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        text_encoder=CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)),
        tokenizer=tiny_tokenizer(),
        tokenizer_2=tiny_tokenizer(),
        text_encoder_3=None,
        tokenizer_3=None,
    )
    path = tmp_path_factory.mktemp("models") / "teacher"
    pipeline.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def tiny_reward_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIPModel folder with tokenizer and preprocessor, for 32x32 pixels."""
    torch.manual_seed(1)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "projection_dim": 16,
    }
    path = tmp_path_factory.mktemp("models") / "reward"
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=16)).save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    write_json(path / "preprocessor_config.json", {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.3, 0.2, 0.1]})
    return path


@pytest.fixture(scope="session")
def tiny_student_dir(tiny_pipeline_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random student for 3, 5 and 8 steps, as training leaves it."""
    path = tmp_path_factory.mktemp("models") / "student"
    load_sd3(tiny_pipeline_dir).save_student(path, None, terminal_sigma=0.25, steps=[3, 5, 8])
    return path
