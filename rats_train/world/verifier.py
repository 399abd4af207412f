"""A rule that judges a scene: which of objects, count, relation and background are as the prompt says.

``python -m rats_train.world.verifier`` prints the rule's own ceiling on real scenes, clean and degraded: no picture can
be expected to score higher.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage
from torch import Tensor

from rats_train.world.grammar import Prompt, heldout_prompts, parse
from rats_train.world.objects import Found, Picture, find_objects
from rats_train.world.renderer import render
from rats_train.world.scene import sample_scene


@dataclass(frozen=True)
class Verdict:
    """What is right in a picture. Whatever the prompt leaves unsaid is right."""

    objects: bool
    count: bool
    relation: bool
    background: bool

    @property
    def all_correct(self) -> bool:
        """Whether nothing is wrong."""
        return self.objects and self.count and self.relation and self.background


def _relation_holds(prompt: Prompt, found: list[Found]) -> bool:
    if prompt.relation in (None, "and"):
        return True
    by_noun = {item.noun: item for item in found}
    if not all(noun in by_noun for noun in prompt.nouns):
        return False
    first, second = (by_noun[noun] for noun in prompt.nouns)
    right, down = second.x - first.x, second.y - first.y
    return right > abs(down) if prompt.relation == "left of" else down > abs(right)


def judge(picture: Picture, prompt: Prompt) -> Verdict:
    """Judge a picture ``[H, W, 3]`` in [0, 1] against a parsed prompt."""
    background, found = find_objects(picture)
    wanted = len(prompt.nouns) if prompt.relation else prompt.count
    return Verdict(
        objects={item.noun for item in found} == set(prompt.nouns),
        count=len(found) == wanted,
        relation=_relation_holds(prompt, found),
        background=background == prompt.background if prompt.background else background is not None,
    )


def verify(image: Tensor, prompt: str) -> Verdict:
    """Judge an image ``[3, 64, 64]`` in [0, 1]; a prompt outside the grammar is never right."""
    parsed = parse(prompt)
    if parsed is None:
        return Verdict(objects=False, count=False, relation=False, background=False)
    return judge(image.detach().float().permute(1, 2, 0).cpu().numpy(), parsed)


DEGRADATIONS: Final[dict[str, Callable[[Picture, np.random.Generator], Picture]]] = {
    "clean": lambda picture, _: picture,
    "blur 0.8 px": lambda picture, _: ndimage.gaussian_filter(picture, (0.8, 0.8, 0)),
    "noise 0.03": lambda picture, rng: (picture + rng.normal(0, 0.03, picture.shape)).clip(0, 1).astype(np.float32),
}


def ceiling(count: int, seed: int) -> dict[str, float]:
    """Share of real held-out scenes judged all-correct, for each degradation."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    prompts = [prompt for prompt in map(parse, heldout_prompts(count, seed)) if prompt]
    scenes = [render(sample_scene(prompt, rng)).astype(np.float32) / np.float32(255.0) for prompt in prompts]
    return {
        name: float(np.mean([judge(f(s, noise), p).all_correct for s, p in zip(scenes, prompts, strict=True)]))
        for name, f in DEGRADATIONS.items()
    }


if __name__ == "__main__":
    for degradation, share in ceiling(400, seed=0).items():
        print(f"{degradation:12} {share:.3f} all-correct on 400 real held-out scenes")  # noqa: T201
