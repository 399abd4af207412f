"""The original ImageReward on a small random model of its own classes.

python image_reward.py pictures.safetensors OUT

Leaves in OUT: ImageReward.pt as the real one is released, a BERT tokenizer in bert-base-uncased/, and
answer.safetensors.
"""

import json
import os
import string
import sys
from pathlib import Path

import torch
from common import answer, import_torchvision, randomise, read_pictures

import_torchvision()

from ImageReward import load  # noqa: E402
from ImageReward.ImageReward import ImageReward  # noqa: E402
from ImageReward.models.BLIP import blip_pretrain  # noqa: E402
from ImageReward.models.BLIP.vit import VisionTransformer  # noqa: E402

WIDTH = 64
# As med_config.json, but shallow; the head reads 768 numbers, so the width stays.
TEXT = {
    "hidden_size": 768,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 12,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "add_type_embeddings": False,
    "add_cross_attention": True,
}


def small_vit(vit: str, size: int, checkpointing: bool, layer: int, drop_path: float) -> tuple[torch.nn.Module, int]:
    """In place of the package's choice of sizes: 16 heads as its large one, but narrow and shallow."""
    return VisionTransformer(img_size=size, patch_size=16, embed_dim=WIDTH, depth=3, num_heads=16), WIDTH


def save_tokenizer(folder: Path) -> int:
    """A letter-level BERT tokenizer; the size of its vocabulary."""
    letters = string.ascii_lowercase + string.digits + ",.-'"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return len(pieces)


def main() -> None:
    """Build, save, load as people do, score."""
    batches, prompts = read_pictures(Path(sys.argv[1]))
    out = Path(sys.argv[2]).absolute()
    out.mkdir(parents=True)
    os.chdir(out)  # the package asks for bert-base-uncased by that name
    words = save_tokenizer(Path("bert-base-uncased"))
    Path("med_config.json").write_text(json.dumps(TEXT | {"vocab_size": words + 2}))  # and [DEC], [ENC]
    blip_pretrain.create_vit = small_vit
    made = ImageReward("med_config.json")
    randomise(made, gain=1.5)
    torch.save(made.state_dict(), "ImageReward.pt")
    model = load("ImageReward.pt", device="cpu", med_config="med_config.json")

    def differentiable(images: torch.Tensor, asked: list[str]) -> torch.Tensor:
        resize, crop, _, _, normalise = model.preprocess.transforms
        # For people it resizes pictures as bytes, which has no gradient; of this size they are left as they are.
        read = model.blip.tokenizer(asked, padding="max_length", truncation=True, max_length=35, return_tensors="pt")
        return model.score_gard(read.input_ids, read.attention_mask, normalise(crop(resize(images))))[:, 0]

    answer(
        batches,
        prompts,
        out,
        score=lambda picture, prompt: model.score(prompt, picture),
        differentiable=differentiable,
    )


if __name__ == "__main__":
    main()
