"""The embedded world's two reward models: small CLIP models that prefer a scene's true caption.

Reward ``a`` is trained on, reward ``b`` is held out: another seed, other widths, another mixture of wrong captions
and of flawed pictures.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from rats_train.world.build.data import to_images
from rats_train.world.build.loop import train
from rats_train.world.build.reward_loss import (
    Lesson,
    Reader,
    contrast_loss,
    embed_images,
    embed_texts,
    hardened_loss,
)
from rats_train.world.build.tokenizer import MAX_LENGTH, build_tokenizer
from rats_train.world.captions import MISTAKES, holds
from rats_train.world.flaws import BLUREST_EDGE, FLAWS, SHARPEST_EDGE, Pixels, blurred
from rats_train.world.grammar import Prompt, any_prompts, parse
from rats_train.world.renderer import render
from rats_train.world.scene import Scene, sample_scene

CONTRAST_STEPS, CONTRAST_LR = 2000, 1.5e-3
HARDENED_STEPS, HARDENED_LR = 600, 5e-4
BATCH: Final = 64
POOL: Final = 16_000


FAINTEST: Final = 0.2  # of a ghost


@dataclass(frozen=True)
class RewardDesign:
    """What sets one reward model apart from the other."""

    seed: int
    width: int
    layers: int
    mistakes: tuple[str, ...]  # wrong captions shown beside each true one
    flaws: tuple[str, ...]  # flawed pictures shown beside each sound one


DESIGNS: Final = {
    "a": RewardDesign(11, 96, 4, tuple(MISTAKES), tuple(FLAWS)),
    "b": RewardDesign(
        29,
        128,
        3,
        ("swapped objects", "other relation", "wrong count", "wrong background"),
        ("extra object", "missing object", "two layouts"),
    ),
}


def new_reward(design: RewardDesign, tokenizer: CLIPTokenizer) -> CLIPModel:
    """A stock ``CLIPModel`` for 64-pixel pictures."""
    tower = {
        "hidden_size": design.width,
        "intermediate_size": 3 * design.width,
        "num_hidden_layers": design.layers,
        "num_attention_heads": design.width // 32,
    }
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": MAX_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return CLIPModel(
        CLIPConfig(
            text_config={**tower, **text, "num_hidden_layers": 2},
            vision_config={**tower, "image_size": 64, "patch_size": 8},
            projection_dim=64,
            logit_scale_init_value=2.0,
        )
    )


def degrade(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Every other scene a little blurred, as a model would draw it; in place."""
    rng = np.random.default_rng(seed)
    for row in range(0, len(pixels), 2):
        pixels[row] = blurred(pixels[row], rng.uniform(SHARPEST_EDGE, BLUREST_EDGE))
    return pixels


@dataclass(frozen=True)
class Pool:
    """Scenes with their true captions."""

    prompts: list[Prompt]
    scenes: list[Scene]
    pixels: NDArray[np.uint8]


def make_pool(texts: list[str], seed: int) -> Pool:
    """One scene of each caption."""
    rng = random.Random(seed)
    prompts = [prompt for prompt in map(parse, texts) if prompt]
    scenes = [sample_scene(prompt, rng) for prompt in prompts]
    return Pool(prompts, scenes, np.stack([render(scene) for scene in scenes]))


def wrong_captions(design: RewardDesign, prompt: Prompt, scene: Scene, rng: random.Random, count: int) -> list[Prompt]:
    """``count`` captions, each wrong in one way."""
    kinds = [MISTAKES[kind] for kind in design.mistakes]
    made = [wrong for kind in kinds if (wrong := kind(prompt, scene, rng)) and not holds(wrong, scene)]
    return rng.sample(made, min(count, len(made))) + rng.choices(made, k=max(0, count - len(made)))


def flawed_picture(design: RewardDesign, prompt: Prompt, scene: Scene, pixels: Pixels, rng: random.Random) -> Pixels:
    """The picture with one of the flaws that this scene can have."""
    kinds = rng.sample(design.flaws, len(design.flaws))
    return next(flawed for kind in kinds if (flawed := FLAWS[kind](prompt, scene, pixels, rng)) is not None)


def make_lesson(
    design: RewardDesign,
    pool: Pool,
    rows: list[int],
    rng: random.Random,
    generator: torch.Generator,
) -> Lesson:
    """Rows of the pool with all that their scenes are compared to, the pictures a little noisy."""
    prompts, scenes, sound = [pool.prompts[i] for i in rows], [pool.scenes[i] for i in rows], pool.pixels[rows]
    wrong = [wrong_captions(design, p, s, rng, 3) for p, s in zip(prompts, scenes, strict=True)]
    flawed = [flawed_picture(design, *row, rng) for row in zip(prompts, scenes, sound, strict=True)]
    noise = 0.03 * rng.random()

    def noisy(pictures: NDArray[np.uint8]) -> Tensor:
        images = to_images(pictures)
        return (images + noise * torch.randn(images.shape, generator=generator)).clamp(0, 1)

    share = FAINTEST + (1 - FAINTEST) * torch.rand(len(rows), generator=generator)
    images, worse = noisy(np.concatenate([sound, np.stack(flawed)])).chunk(2)
    twins = degrade(np.stack([render(sample_scene(prompt, rng)) for prompt in prompts]), rng.randrange(2**32))
    return Lesson(prompts, scenes, wrong, images, worse, noisy(twins), share)


def build_reward(name: str, out: Path, work: Path) -> None:
    """Train reward ``name`` and write ``out``: model, tokenizer, image processor and its accuracy."""
    torch.manual_seed(DESIGNS[name].seed)
    read = Reader(build_tokenizer())
    model = new_reward(DESIGNS[name], read.tokenizer)
    train_reward(name, model, read, work)
    model.eval().save_pretrained(out, safe_serialization=True)
    read.tokenizer.save_pretrained(out)
    save_processor(out)
    accuracy = preference_accuracy(model, read, make_pool(any_prompts(1000, seed=5), seed=5))
    (out / "accuracy.json").write_text(json.dumps(accuracy, indent=2) + "\n")


def train_reward(name: str, model: CLIPModel, read: Reader, work: Path) -> None:
    """Teach ``model`` in place: first to read, then to be hard to mislead. Each part resumes from ``work``."""
    design = DESIGNS[name]
    pool = make_pool(any_prompts(POOL, design.seed), design.seed)
    degrade(pool.pixels, design.seed)

    def lesson(step: int, generator: torch.Generator) -> Lesson:
        rows = torch.randint(len(pool.pixels), (BATCH,), generator=generator).tolist()
        return make_lesson(design, pool, rows, random.Random(design.seed * 1_000_003 + step), generator)

    def contrast(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        return contrast_loss(model, lesson(step, generator), read), {}

    def hardened(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        return hardened_loss(model, lesson(step, generator), read, generator), {}

    for loss, part, steps, peak_lr in (
        (contrast, "1-contrast", CONTRAST_STEPS, CONTRAST_LR),
        (hardened, "2-hardened", HARDENED_STEPS, HARDENED_LR),
    ):
        part_name = f"reward_{name}.{part}"
        train(model, loss, name=part_name, steps=steps, peak_lr=peak_lr, work=work, seed=design.seed, ema_decay=0.99)


def save_processor(out: Path) -> None:
    """Sizes and normalisation of pictures, as any CLIP checkpoint carries them."""
    CLIPImageProcessorPil(
        size={"shortest_edge": 64},
        crop_size={"height": 64, "width": 64},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    ).save_pretrained(out)


@torch.no_grad()
def preference_accuracy(model: CLIPModel, read: Reader, pool: Pool) -> dict[str, float]:
    """Share of scenes that score above themselves with one mistake in the caption, or one flaw in the picture."""
    pictures, captions = embed_images(model, to_images(pool.pixels)), embed_texts(model, read(pool.prompts))
    true = (pictures * captions).sum(-1)
    rng, accuracy = random.Random(0), {}
    for kind, mistake in MISTAKES.items():
        wrong = [mistake(p, s, rng) for p, s in zip(pool.prompts, pool.scenes, strict=True)]
        rows = [i for i, prompt in enumerate(wrong) if prompt]
        false = (pictures[rows] * embed_texts(model, read([prompt for prompt in wrong if prompt]))).sum(-1)
        accuracy[kind] = (true[rows] > false).float().mean().item()
    for kind, flaw in FLAWS.items():
        spoilt = [flaw(*row, rng) for row in zip(pool.prompts, pool.scenes, pool.pixels, strict=True)]
        rows = [i for i, picture in enumerate(spoilt) if picture is not None]
        worse = embed_images(model, to_images(np.stack([picture for picture in spoilt if picture is not None])))
        accuracy[kind] = (true[rows] > (worse * captions[rows]).sum(-1)).float().mean().item()
    return accuracy


def accuracy_of(path: Path) -> dict[str, float]:
    """Preference accuracy of a saved reward model on 1000 real scenes that it has not seen."""
    model = CLIPModel.from_pretrained(path).eval()
    reader = Reader(CLIPTokenizer.from_pretrained(path))
    return preference_accuracy(model, reader, make_pool(any_prompts(1000, seed=5), seed=5))
