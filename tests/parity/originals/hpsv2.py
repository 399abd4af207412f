"""The original HPSv2 on a small random model of its own classes.

python hpsv2.py pictures.safetensors OUT

Leaves in OUT: HPS.pt as the real one is released, CLIP's tokenizer in tokenizer/, and answer.safetensors.
"""

import gzip
import importlib.util
import json
import sys
import types
from pathlib import Path

# This file has the name of the package; its folder must not be looked into before the package's.
sys.path.append(sys.path.pop(0))

import torch
from common import answer, import_torchvision, randomise, read_pictures

import_torchvision()
# A stray import of the package asks for a drawing library, which needs a screen.
sys.modules["turtle"] = types.SimpleNamespace(forward=None)  # type: ignore[assignment]
VOCABULARY = Path(importlib.util.find_spec("clip").submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz"
_open = gzip.open
gzip.open = lambda path, *words: _open(VOCABULARY if Path(path).name == VOCABULARY.name else path, *words)

from hpsv2 import img_score  # noqa: E402
from hpsv2.src.open_clip import CLIP, SimpleTokenizer, image_transform, tokenize  # noqa: E402
from torchvision.transforms import Compose  # noqa: E402

# As ViT-H-14, but narrow and shallow: 16 heads in both towers.
VISION = {"image_size": 224, "layers": 3, "width": 64, "head_width": 4, "patch_size": 14}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 16, "layers": 3}


def save_tokenizer(folder: Path) -> None:
    """CLIP's tokenizer as transformers reads it, from what the package reads."""
    words = SimpleTokenizer()
    marks = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({marks.get(word, word): i for word, i in words.encoder.items()}))
    merges = "".join(f"{left} {right}\n" for left, right in words.bpe_ranks)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}")
    names = {"unk": "<|endoftext|>", "bos": "<|startoftext|>", "eos": "<|endoftext|>", "pad": "<|endoftext|>"}
    config = {f"{name}_token": mark for name, mark in names.items()} | {"tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def main() -> None:
    """Build, save, score."""
    batches, prompts = read_pictures(Path(sys.argv[1]))
    out = Path(sys.argv[2])
    out.mkdir(parents=True)
    model = CLIP(embed_dim=24, vision_cfg=VISION, text_cfg=TEXT, output_dict=True).eval()
    randomise(model, gain=0.5)
    torch.save({"state_dict": model.state_dict()}, out / "HPS.pt")
    save_tokenizer(out / "tokenizer")
    preprocess = image_transform(224, is_train=False)
    # Else it would fetch the weights of ViT-H-14 first; the checkpoint it reads itself.
    img_score.model_dict.update(model=model, preprocess_val=preprocess)

    def differentiable(images: torch.Tensor, words: list[str]) -> torch.Tensor:
        # Behind conversion to RGB and to a tensor. One by one: it takes four pictures for one with four channels.
        fit = Compose(preprocess.transforms[2:])
        found = model(torch.stack([fit(image) for image in images]), tokenize(words))
        return (found["image_features"] * found["text_features"]).sum(dim=1)

    answer(
        batches,
        prompts,
        out,
        score=lambda picture, prompt: float(img_score.score(picture, prompt, cp=str(out / "HPS.pt"))[0]),
        differentiable=differentiable,
    )


if __name__ == "__main__":
    main()
