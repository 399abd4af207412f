"""ImageReward's released checkpoint as the folder that rewards of kind ``image_reward`` read."""

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import BertTokenizer, BlipTextConfig, BlipVisionConfig

from rats_train.files import write_json
from rats_train.rewards.convert.checkpoint import check_words, depth, part, read_checkpoint, shape, write_weights
from rats_train.rewards.convert.names import renamed
from rats_train.rewards.image_reward import MODEL_TYPE, WEIGHTS_FILE, ImageRewardNetwork

# What shapes do not tell: heads and epsilons of BLIP's ViT-L and of BERT base.
_VISION: Final = {"num_attention_heads": 16, "layer_norm_eps": 1e-6, "hidden_act": "gelu"}
_TEXT: Final = {"num_attention_heads": 12, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}
# [DEC] and [ENC]: the checkpoint has room for them, and scores are read without.
_MARKS: Final = 2
_VISION_RULES: Final = (
    (r"^cls_token$", "embeddings.class_embedding"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\b", "embeddings.patch_embedding"),
    (r"^norm\b", "post_layernorm"),
    (r"^blocks\b", "encoder.layers"),
    (r"\bnorm([12])\b", r"layer_norm\1"),
    (r"\battn\.qkv\b", "self_attn.qkv"),
    (r"\battn\.proj\b", "self_attn.projection"),
)


def convert(checkpoint: str | Path, tokenizer: str | Path, out: str | Path) -> None:
    """Make the folder ``out``.

    Args:
        checkpoint: ImageReward.pt.
        tokenizer: a folder with the tokenizer of bert-base-uncased.
        out: the folder to make.

    Raises:
        UserError: the checkpoint is missing, or is not of such a model, or the tokenizer is not its.
    """
    released, out = read_checkpoint(checkpoint), Path(out)
    vision = part(released, "blip.visual_encoder.")
    text = part(released, "blip.text_encoder.")
    # A counter that older BERTs kept among their weights.
    text.pop("embeddings.position_ids", None)
    weights = {
        **{f"vision.{name}": weight for name, weight in renamed(vision, _VISION_RULES).items()},
        **{f"text.{name}": weight for name, weight in text.items()},
        **{f"head.{name}": weight for name, weight in part(released, "mlp.").items()},
    }
    vision_config, text_config = _vision_config(vision), _text_config(text)
    words = BertTokenizer.from_pretrained(tokenizer, local_files_only=True)
    check_words(len(words), text_config["vocab_size"] - _MARKS, tokenizer, "bert-base-uncased")
    with torch.device("meta"):
        expected = ImageRewardNetwork(BlipVisionConfig(**vision_config), BlipTextConfig(**text_config)).state_dict()
    write_weights(weights, expected, out / WEIGHTS_FILE)
    config = {"model_type": MODEL_TYPE, "vision_config": vision_config, "text_config": text_config}
    write_json(out / "config.json", config)
    words.save_pretrained(out)


def _vision_config(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    width, _, patch, _ = shape(weights, "patch_embed.proj.weight")
    return _VISION | {
        "hidden_size": width,
        "intermediate_size": shape(weights, "blocks.0.mlp.fc1.weight")[0],
        "num_hidden_layers": depth(weights, "blocks."),
        "image_size": patch * isqrt(shape(weights, "pos_embed")[1] - 1),
        "patch_size": patch,
    }


def _text_config(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    vocabulary, width = shape(weights, "embeddings.word_embeddings.weight")
    return _TEXT | {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "encoder_hidden_size": shape(weights, "encoder.layer.0.crossattention.self.key.weight")[1],
        "intermediate_size": shape(weights, "encoder.layer.0.intermediate.dense.weight")[0],
        "num_hidden_layers": depth(weights, "encoder.layer."),
        "max_position_embeddings": shape(weights, "embeddings.position_embeddings.weight")[0],
    }
