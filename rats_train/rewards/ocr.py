"""Is the text that a prompt quotes to be read in the picture?"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rats_train.errors import UserError
from rats_train.recipe_rewards import Statistics
from rats_train.rewards.base import Extras, Reward, Traits
from rats_train.rewards.extras import import_extra
from rats_train.rewards.preprocess import as_bytes, enlarged

_QUOTED: Final = re.compile(r'"([^"]+)"|“([^”]+)”')
_READABLE: Final = 256  # pixels a side; letters of smaller pictures are too small for the reader


class OcrReward(Reward):
    """Share of the quoted words of a prompt that PP-OCR reads in its picture, whatever their case and order; in [0, 1].

    The reader often loses the spaces of a line, so a word counts as read wherever its letters stand in a line; each
    letter counts once, long words first.

    Raises:
        UserError: the optional dependencies ``ocr`` are missing; on scoring, a prompt quotes no words.
    """

    traits = Traits(differentiable=False, low=0.0, high=1.0, usual_scale=0.4)

    def __init__(self, name: str, weight: float = 1.0, statistics: Statistics | None = None) -> None:
        super().__init__(name, weight, statistics)
        self._reader = import_extra("ocr", name).RapidOCR()

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        wanted = [self._quoted_words(prompt) for prompt in prompts]
        pictures = as_bytes(enlarged(images, _READABLE))
        shares = [
            _count(words, self._read(picture)) / len(words) for words, picture in zip(wanted, pictures, strict=True)
        ]
        return torch.tensor(shares, device=images.device)

    def _quoted_words(self, prompt: str) -> list[str]:
        quoted = " ".join(straight or curly for straight, curly in _QUOTED.findall(prompt))
        words = re.findall(r"\w+", quoted.casefold())
        if not words:
            raise UserError(
                f"Reward {self.name} reads the words that a prompt puts in double quotes, and there are none in "
                f"'{prompt}': quote what is to be written, or judge these prompts by another reward."
            )
        return words

    def _read(self, picture: NDArray[np.uint8]) -> str:
        lines, _ = self._reader(picture[..., ::-1])  # it takes blue first
        return " ".join(re.sub(r"\W", "", text.casefold()) for _, text, _ in lines or [])


def _count(words: Sequence[str], text: str) -> int:
    """How many of ``words`` stand in ``text``, none of its letters counted twice."""
    found = 0
    for word in sorted(words, key=len, reverse=True):
        if word in text:
            found, text = found + 1, text.replace(word, " ", 1)
    return found
