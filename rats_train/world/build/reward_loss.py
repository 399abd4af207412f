"""What the embedded rewards learn from: captions against pictures, and pictures against worse ones of themselves.

A student that is trained through a reward finds whatever the reward mistakes for a better picture. Three habits of a
plain contrastive model are taken away here, because students were seen to live on them:

* it takes a ghost for nearly as good as a picture without: every scene is shown beside a flawed picture of itself;
* it likes one style and background better than another where the prompt asks for neither, and students then draw
  nothing else: two scenes of one prompt must score alike;
* it is moved by changes that nobody sees: all pictures are first pushed a little the way that misleads it most.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel, CLIPTokenizer

from rats_train.world.captions import holds
from rats_train.world.grammar import Prompt
from rats_train.world.scene import Scene

LARGEST_PUSH: Final = 8 / 255
LARGEST_SCALE: Final = 30.0
INDIFFERENCE: Final = 0.1  # weight of two right pictures scoring alike


class Reader:
    """Prompts to tokens, remembering those that it has seen."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        self.tokenizer = tokenizer
        self.known: dict[Prompt, list[int]] = {}

    def __call__(self, prompts: list[Prompt]) -> Tensor:
        """Tokens[B, L]."""
        for prompt in prompts:
            if prompt not in self.known:
                self.known[prompt] = self.tokenizer(str(prompt), padding="max_length").input_ids
        return torch.tensor([self.known[prompt] for prompt in prompts])


def embed_texts(model: CLIPModel, tokens: Tensor) -> Tensor:
    """Unit vectors[B, 64] of captions."""
    return F.normalize(model.text_projection(model.text_model(tokens).pooler_output).float(), dim=-1)


def embed_images(model: CLIPModel, images: Tensor) -> Tensor:
    """Unit vectors[B, 64] of pictures in [0, 1]."""
    vectors = model.visual_projection(model.vision_model((images - 0.5) / 0.25).pooler_output)
    return F.normalize(vectors.float(), dim=-1)


@dataclass(frozen=True)
class Lesson:
    """B prompts with a scene each, its picture, another right one, a flawed one, and captions that are wrong of it.

    Attributes:
        prompts: B true captions.
        scenes: B scenes.
        images: ``[3 * B, 3, 64, 64]`` in [0, 1]: the sound pictures, their twins, the flawed ones.
        wrong: K wrong captions of each scene.
    """

    prompts: list[Prompt]
    scenes: list[Scene]
    images: Tensor
    wrong: list[list[Prompt]]


def misleading(model: CLIPModel, images: Tensor, captions: Tensor, generator: torch.Generator) -> Tensor:
    """The pictures of a lesson, each pushed so that sound ones score lower, twins and flawed ones higher (FGSM)."""
    images = images.clone().requires_grad_()
    score = (embed_images(model, images) * captions.detach().repeat(3, 1)).sum()
    direction = torch.autograd.grad(score, images)[0].sign()
    direction[: len(captions)] *= -1
    push = LARGEST_PUSH * torch.rand((len(images), 1, 1, 1), generator=generator)
    return (images.detach() + push * direction).clamp(0, 1)


def reward_loss(model: CLIPModel, lesson: Lesson, read: Reader, generator: torch.Generator) -> Tensor:
    """Contrast of captions and scenes, of a caption and its mistakes, of a picture and its flaws; and indifference."""
    count = len(lesson.prompts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        texts = embed_texts(model, read([*lesson.prompts, *(p for row in lesson.wrong for p in row)]))
        true, false = texts[:count], texts[count:].view(count, -1, texts.shape[-1])
        pictures = embed_images(model, misleading(model, lesson.images, true, generator))
    sound, twins, flawed = pictures.chunk(3)
    scale = model.logit_scale.exp().clamp(max=LARGEST_SCALE)
    first = torch.zeros(count, dtype=torch.long)
    own_caption = scale * torch.einsum("bd,bkd->bk", sound, torch.cat([true[:, None], false], dim=1))
    own_picture = scale * torch.einsum("bd,kbd->bk", true, torch.stack([sound, flawed]))
    unlike = scale * ((sound - twins) * true).sum(-1)
    return (
        _contrast(scale * sound @ true.T, lesson)
        + F.cross_entropy(own_caption, first)
        + F.cross_entropy(own_picture, first)
        + INDIFFERENCE * unlike.square().mean()
    )


def _contrast(logits: Tensor, lesson: Lesson) -> Tensor:
    """InfoNCE both ways over logits[B, B], captions that are true of another scene left out."""
    also_true = torch.tensor([[holds(p, s) for p in lesson.prompts] for s in lesson.scenes]).fill_diagonal_(False)
    target = torch.arange(len(logits))
    by_picture = F.cross_entropy(logits.masked_fill(also_true, -1e4), target)
    return (by_picture + F.cross_entropy(logits.T.masked_fill(also_true.T, -1e4), target)) / 2
