"""What the embedded rewards learn from: captions against pictures, and pictures against worse ones of themselves.

A student that is trained through a reward finds whatever the reward mistakes for a better picture. Three habits of a
plain contrastive model are taken away here, because students were seen to live on them:

* it takes a ghost for nearly as good as a picture without: every scene is shown beside a flawed picture of itself;
* it likes one style and background better than another where the prompt asks for neither, and students then draw
  nothing else: two scenes of one prompt must score alike;
* it is moved by changes that nobody sees: all pictures are first pushed a little the way that misleads it most.

The last two are taught to a model that has learned the first: pushed from the start, it never came to tell "left of"
from "right of" (58 % instead of 100 %).
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

LARGEST_PUSH: Final = 4 / 255  # of a pixel's range, to either side
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
    """B prompts with a scene each, and all that its picture is compared to.

    Attributes:
        prompts: B true captions.
        scenes: B scenes.
        wrong: K captions of each scene that are wrong of it.
        sound: pictures[B, 3, 64, 64] of the scenes, in [0, 1].
        flawed: the same pictures, each with a flaw.
        twins: pictures of other scenes that are right for the same prompts.
    """

    prompts: list[Prompt]
    scenes: list[Scene]
    wrong: list[list[Prompt]]
    sound: Tensor
    flawed: Tensor
    twins: Tensor


def contrast_loss(model: CLIPModel, lesson: Lesson, read: Reader) -> Tensor:
    """Contrast of captions and scenes, of a caption and its mistakes, of a picture and its flaws."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        true, false = _captions(model, lesson, read)
        sound, flawed = embed_images(model, torch.cat([lesson.sound, lesson.flawed])).chunk(2)
    return _contrast(_scale(model), lesson, true, false, sound, flawed)


def hardened_loss(model: CLIPModel, lesson: Lesson, read: Reader, generator: torch.Generator) -> Tensor:
    """`contrast_loss` of pictures that are pushed the misleading way, and right ones of one prompt scoring alike."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        true, false = _captions(model, lesson, read)
        pushed = misleading(model, lesson, true, generator)
        sound, flawed, twins = embed_images(model, pushed).chunk(3)
    scale = _scale(model)
    unlike = scale * ((sound - twins) * true).sum(-1)
    return _contrast(scale, lesson, true, false, sound, flawed) + INDIFFERENCE * unlike.square().mean()


def misleading(model: CLIPModel, lesson: Lesson, captions: Tensor, generator: torch.Generator) -> Tensor:
    """Sound, flawed and twin pictures[3B, ...], pushed so that sound ones score lower and the rest higher (FGSM)."""
    images = torch.cat([lesson.sound, lesson.flawed, lesson.twins]).requires_grad_()
    score = (embed_images(model, images) * captions.detach().repeat(3, 1)).sum()
    direction = torch.autograd.grad(score, images)[0].sign()
    direction[: len(captions)] *= -1
    push = LARGEST_PUSH * torch.rand((len(images), 1, 1, 1), generator=generator)
    return (images.detach() + push * direction).clamp(0, 1)


def _captions(model: CLIPModel, lesson: Lesson, read: Reader) -> tuple[Tensor, Tensor]:
    """Vectors of the true captions[B, 64] and of the wrong ones[B, K, 64]."""
    count = len(lesson.prompts)
    texts = embed_texts(model, read([*lesson.prompts, *(prompt for row in lesson.wrong for prompt in row)]))
    return texts[:count], texts[count:].view(count, -1, texts.shape[-1])


def _scale(model: CLIPModel) -> Tensor:
    return model.logit_scale.exp().clamp(max=LARGEST_SCALE)


def _contrast(scale: Tensor, lesson: Lesson, true: Tensor, false: Tensor, sound: Tensor, flawed: Tensor) -> Tensor:
    """InfoNCE both ways, captions that are true of another scene left out; and each against its own worse versions."""
    logits = scale * sound @ true.T
    also_true = torch.tensor([[holds(p, s) for p in lesson.prompts] for s in lesson.scenes]).fill_diagonal_(False)
    target, first = torch.arange(len(true)), torch.zeros(len(true), dtype=torch.long)
    both = F.cross_entropy(logits.masked_fill(also_true, -1e4), target)
    both = both + F.cross_entropy(logits.T.masked_fill(also_true.T, -1e4), target)
    own_caption = scale * torch.einsum("bd,bkd->bk", sound, torch.cat([true[:, None], false], dim=1))
    own_picture = scale * torch.einsum("bd,kbd->bk", true, torch.stack([sound, flawed]))
    return both / 2 + F.cross_entropy(own_caption, first) + F.cross_entropy(own_picture, first)
