"""Random, tiny, complete pipelines of every family: real classes and files, milliseconds to run."""

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

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
PIECES = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), *((letter, -2.0) for letter in LETTERS)]
T5 = {"vocab_size": len(PIECES), "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}


def tiny_tokenizer() -> CLIPTokenizer:
    """A letter-level CLIP tokenizer with a handful of merges."""
    pieces = [*VOCABULARY, *("".join(pair) for pair in MERGES)]
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=MERGES, model_max_length=16)


def tiny_t5_tokenizer() -> T5TokenizerFast:
    """A letter-level T5 tokenizer."""
    return T5TokenizerFast(vocab=PIECES, extra_ids=0)


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


def tiny_sd3(*, t5: bool = False, shift: float = 1.0, sample_size: int = 16) -> DiffusionPipeline:
    """Two layers; ``sample_size`` latents of four pixels each way are the largest picture."""
    transformer = SD3Transformer2DModel(
        sample_size=sample_size,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=32,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        pos_embed_max_size=sample_size,
    )
    # diffusers starts the last projection at zero: such a velocity would hide every mistake upstream of it.
    torch.nn.init.normal_(transformer.proj_out.weight, std=0.3)
    return StableDiffusion3Pipeline(
        transformer=transformer,
        vae=tiny_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        text_encoder=CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)),
        tokenizer=tiny_tokenizer(),
        tokenizer_2=tiny_tokenizer(),
        text_encoder_3=T5EncoderModel(T5Config(**T5)) if t5 else None,
        tokenizer_3=tiny_t5_tokenizer() if t5 else None,
    )


def tiny_flux() -> DiffusionPipeline:
    """One joint and one single layer, told the guidance scale, with FLUX.1-dev's shift by resolution."""
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    torch.nn.init.normal_(transformer.proj_out.weight, std=0.3)
    return FluxPipeline(
        transformer=transformer,
        vae=tiny_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT)),
        text_encoder_2=T5EncoderModel(T5Config(**T5)),
        tokenizer=tiny_tokenizer(),
        tokenizer_2=tiny_t5_tokenizer(),
    )


def tiny_wan() -> DiffusionPipeline:
    """Two layers; four frames after the first fill one more latent, as in Wan 2.1."""
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=32,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    )
    torch.nn.init.normal_(transformer.proj_out.weight, std=0.3)
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[1.2, 0.8, 1.0, 1.5],
    )
    return WanPipeline(
        transformer=transformer,
        vae=vae,
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
        ),
        text_encoder=UMT5EncoderModel(UMT5Config(**T5)),
        tokenizer=tiny_t5_tokenizer(),
    )
