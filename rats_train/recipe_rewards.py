"""The rewards of a recipe: those that are trained on, and those that only judge."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from rats_train.recipe_section import Positive, Section

RewardKind = Literal["clip", "hpsv2", "pickscore", "image_reward", "aesthetic", "ocr", "verifier", "nsfw"]
PACKAGED_KINDS: Final[frozenset[RewardKind]] = frozenset({"ocr", "verifier", "nsfw"})
"""Kinds of reward that bring their weights or rules along: they have no path, and no gradient."""


class Statistics(Section):
    """Mean and standard deviation of a reward's raw values, measured once; the reward is then (value - mean) / std."""

    mean: Annotated[float, Field(allow_inf_nan=False)]
    std: Positive


class RewardSpec(Section):
    """A reward model of one ``kind`` and its share of the sum.

    ``path`` is ``embedded:a``, ``embedded:b``, or a folder or hub id of that kind of model; the kinds ``ocr``,
    ``verifier`` and ``nsfw`` have none. A registered reward is named with its version, ``hpsv2@3``, and brings its
    kind, statistics and digest along. ``digest``, the SHA-256 of the folder, pins its bytes: others are refused.
    ``statistics`` bring rewards of different scales to one; null leaves the raw value.
    """

    name: Annotated[str, Field(min_length=1)]
    kind: RewardKind = "clip"
    path: str | None = None
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    weight: Positive = 1.0
    statistics: Statistics | None = None

    @model_validator(mode="after")
    def _path_fits_kind(self) -> Self:
        if self.path is None and self.kind not in PACKAGED_KINDS:
            raise ValueError(f"reward {self.name} of kind {self.kind} names no path; add the folder of its model")
        if self.path is not None and self.kind in PACKAGED_KINDS:
            raise ValueError(f"reward {self.name} of kind {self.kind} has no model of its own; take its path away")
        if self.path is None and self.digest is not None:
            raise ValueError(f"reward {self.name} of kind {self.kind} has no folder; take its digest away")
        return self


class Rewards(Section):
    """Rewards that are trained on, and rewards that only judge."""

    train: Annotated[list[RewardSpec], Field(min_length=1)]
    heldout: list[RewardSpec] = Field(default_factory=list)

    @model_validator(mode="after")
    def _readers_only_judge(self) -> Self:
        """A reader of text takes a quarter of a second a picture."""
        readers = [spec.name for spec in self.train if spec.kind == "ocr"]
        if readers:
            raise ValueError(f"reward {readers[0]} is of kind ocr, too slow to train on; put it under rewards.heldout")
        return self
