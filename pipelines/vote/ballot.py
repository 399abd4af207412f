"""The pairs of a vote: which picture a voter sees on which side, and in what order."""

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pipelines.vote.contestants import Contestant
from rats_train.seeds import derived_seed

Choice = Literal["left", "right", "tie"]


@dataclass(frozen=True)
class Ballot:
    """Two contestants, in the order in which a person named them; a pair is a row of their pictures.

    Sides and order are draws of their own for every voter, so that neither a habit of the hand nor tiredness towards
    the end favours one contestant. They follow from the ballot and the voter: a reload shows the same pair again.
    """

    first: Contestant
    second: Contestant

    @property
    def key(self) -> str:
        """16 hex digits that two ballots share when they show the same pictures, whoever is named first."""
        pictures = "".join(sorted((self.first.digest, self.second.digest)))
        prompts = "\0".join(self.first.evaluation.scores.prompts)
        return hashlib.sha256(f"{pictures}\0{prompts}".encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.first.images)

    def prompt_number(self, pair: int) -> int:
        """Which of the evaluation's prompts a pair is of."""
        return pair // self.first.evaluation.scores.images_per_prompt

    def prompt(self, pair: int) -> str:
        """What both pictures of a pair were asked to show."""
        return self.first.evaluation.scores.prompts[self.prompt_number(pair)]

    def order(self, voter: str) -> list[int]:
        """All pairs as this voter meets them: every prompt once, then every prompt with its next seed, and so on."""
        rng = random.Random(derived_seed(self.key, voter, "order"))
        per_prompt = self.first.evaluation.scores.images_per_prompt
        return sorted(range(len(self)), key=lambda pair: (pair % per_prompt, rng.random()))

    def sides(self, voter: str, pair: int) -> tuple[Contestant, Contestant]:
        """Who is on the left and who on the right."""
        ordered = sorted((self.first, self.second), key=lambda each: each.digest)
        left = derived_seed(self.key, voter, pair, "left") % 2
        return ordered[left], ordered[1 - left]

    def pictures(self, voter: str, pair: int) -> tuple[Tensor, Tensor]:
        """The left and the right picture, ``uint8[3, H, W]`` or ``uint8[T, 3, H, W]``."""
        left, right = self.sides(voter, pair)
        return left.images[pair], right.images[pair]

    def winner(self, voter: str, pair: int, choice: Choice) -> str | None:
        """Digest of the contestant that a choice prefers, None for neither."""
        left, right = self.sides(voter, pair)
        return {"left": left.digest, "right": right.digest, "tie": None}[choice]
