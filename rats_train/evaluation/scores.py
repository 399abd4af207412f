"""What every arm scored, image by image: the raw material of scorecards, kept so that anyone can resample it."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rats_train.evaluation.bootstrap import Values
from rats_train.evaluation.discrepancy import Discrepancy
from rats_train.evaluation.document import Document
from rats_train.evaluation.protocol import Protocol

Kind = Literal["trained", "heldout", "verifier", "realism", "diversity", "guard"]

ALL_CORRECT = "all_correct"
SCENE_LIKENESS = "scene_likeness"
DIVERSITY_FEATURES = "diversity_features"
DIVERSITY_PIXELS = "diversity_pixels"


class ArmScores(BaseModel):
    """One arm: how it drew, what that cost, and its values.

    Attributes:
        evaluations: transformer evaluations an image.
        seconds_per_image: wall time of drawing one image of this arm in batches.
        values: metric -> one number an image; for diversity, one number a prompt.
        distance: from the full teacher's pictures, as distributions; None for those, or where there is no measuring it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["student", "teacher"]
    steps: int
    guidance_scale: float
    evaluations: int
    seconds_per_image: float
    values: dict[str, list[float]]
    distance: Discrepancy | None = None


class Scores(Document):
    """All arms over the same prompts and seeds.

    Attributes:
        protocol: how all of this was measured.
        prompts: the held-out prompts, each once.
        tags: of each prompt, what kind of prompt it is; empty where nothing is known.
        images_per_prompt: image ``i`` belongs to prompt ``i // images_per_prompt``.
        seeds: one an image, the same for every arm.
        kinds: metric -> what it is.
        arms: arm name -> its scores.
    """

    called: ClassVar[str] = "scores"
    cure: ClassVar[str] = "evaluate again"
    indent: ClassVar[int | None] = None

    protocol: Protocol
    prompts: list[str]
    tags: list[dict[str, str]]
    images_per_prompt: int
    seeds: list[int]
    kinds: dict[str, Kind]
    arms: dict[str, ArmScores]

    def values(self, arm: str, metric: str) -> Values:
        """``[N]`` values of ``metric`` for one arm."""
        return np.asarray(self.arms[arm].values[metric], dtype=np.float64)

    def by_prompt(self, arm: str, metric: str) -> Values:
        """``[P]`` mean of ``metric`` over the images of each prompt, for one arm."""
        means: Values = self.values(arm, metric).reshape(len(self.prompts), -1).mean(axis=1)
        return means

    def clusters(self, metric: str) -> NDArray[np.int64]:
        """``[N]`` prompt index of each value of ``metric``."""
        prompts = np.arange(len(self.prompts), dtype=np.int64)
        return prompts if self.kinds[metric] == "diversity" else prompts.repeat(self.images_per_prompt)

    def of_kind(self, *kinds: Kind) -> list[str]:
        """Names of the metrics of these kinds, in the order in which they were measured."""
        return [name for name, kind in self.kinds.items() if kind in kinds]


def floats(values: Sequence[float] | NDArray[np.generic]) -> list[float]:
    """Plain floats, rounded to single precision's seven digits so that files stay readable."""
    return [float(f"{value:.7g}") for value in values]
