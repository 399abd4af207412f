"""HPSv2's released checkpoint, weights of an open_clip ViT-H-14, as a transformers ``CLIPModel`` folder."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from rats_train.files import write_json
from rats_train.rewards.convert.checkpoint import check_words, depth, read_checkpoint, shape, write_weights
from rats_train.rewards.convert.names import renamed
from rats_train.rewards.preprocess import CLIP_MEAN, CLIP_STD

# The one thing that shapes do not tell: attention heads of ViT-H-14, the same in both towers.
_HEADS: Final = 16
_RULES: Final = (
    (r"^(token_embedding|positional_embedding|transformer|ln_final)\b", r"text_model.\1"),
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^text_projection$", "text_projection.weight"),
    (r"^visual\.", "vision_model."),
    (r"\btoken_embedding\b", "embeddings.token_embedding"),
    (r"\bpositional_embedding$", "embeddings.position_embedding.weight"),
    (r"\bclass_embedding$", "embeddings.class_embedding"),
    (r"\bconv1\b", "embeddings.patch_embedding"),
    (r"\bln_pre\b", "pre_layrnorm"),  # spelt so in transformers
    (r"\bln_post\b", "post_layernorm"),
    (r"\bln_final\b", "final_layer_norm"),
    (r"\btransformer\.resblocks\b", "encoder.layers"),
    (r"\bln_([12])\b", r"layer_norm\1"),
    (r"\battn\b", "self_attn"),
    (r"\bc_fc\b", "fc1"),
    (r"\bc_proj\b", "fc2"),
)


def convert(checkpoint: str | Path, tokenizer: str | Path, out: str | Path) -> None:
    """Make the folder ``out`` that rewards of kind ``hpsv2`` read.

    Args:
        checkpoint: HPS_v2_compressed.pt or HPS_v2.1_compressed.pt.
        tokenizer: a folder with CLIP's tokenizer, such as that of openai/clip-vit-large-patch14.
        out: the folder to make.

    Raises:
        UserError: the checkpoint is missing, or is not of such a model, or the tokenizer is not its.
    """
    weights, out = read_checkpoint(checkpoint), Path(out)
    words = CLIPTokenizer.from_pretrained(tokenizer, local_files_only=True)
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    config = _config(weights, ends)
    check_words(len(words), shape(weights, "token_embedding.weight")[0], tokenizer, "openai/clip-vit-large-patch14")
    with torch.device("meta"):
        expected = CLIPModel(config).state_dict()
    write_weights(to_transformers(weights), expected, out / "model.safetensors")
    config.save_pretrained(out)
    words.save_pretrained(out)
    write_json(out / "preprocessor_config.json", {"image_mean": CLIP_MEAN, "image_std": CLIP_STD})


def to_transformers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An open_clip ViT's weights under the names of ``CLIPModel``: fused projections split, products transposed."""
    found: dict[str, Tensor] = {}
    for name, weight in renamed(weights, _RULES).items():
        if ".in_proj_" in name:
            for letter, third in zip("qkv", weight.chunk(3), strict=True):
                found[name.replace("in_proj_", f"{letter}_proj.")] = third
        else:
            # open_clip multiplies by these two from the right.
            found[name] = weight.T if name in ("visual_projection.weight", "text_projection.weight") else weight
    return found


def _config(weights: Mapping[str, Tensor], ends: dict[str, int]) -> CLIPConfig:
    width, _, patch, _ = shape(weights, "visual.conv1.weight")
    patches = shape(weights, "visual.positional_embedding")[0] - 1
    positions, text_width = shape(weights, "positional_embedding")
    common: dict[str, Any] = {
        "num_attention_heads": _HEADS,
        "hidden_act": "gelu",
        "projection_dim": shape(weights, "text_projection")[1],
    }
    vision = {
        "hidden_size": width,
        "intermediate_size": shape(weights, "visual.transformer.resblocks.0.mlp.c_fc.weight")[0],
        "num_hidden_layers": depth(weights, "visual.transformer.resblocks."),
        "image_size": patch * isqrt(patches),
        "patch_size": patch,
    }
    text = {
        "hidden_size": text_width,
        "intermediate_size": shape(weights, "transformer.resblocks.0.mlp.c_fc.weight")[0],
        "num_hidden_layers": depth(weights, "transformer.resblocks."),
        "max_position_embeddings": positions,
        "vocab_size": shape(weights, "token_embedding.weight")[0],
    }
    return CLIPConfig(
        vision_config=vision | common, text_config=text | common | ends, projection_dim=common["projection_dim"]
    )
