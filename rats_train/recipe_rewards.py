"""The rewards of a recipe: those that are trained on, and those that only judge."""

import difflib
from importlib.metadata import entry_points
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from rats_train.recipe_section import Positive, Section, Weight

ENTRY_POINT: Final = "rats_train.rewards"
"""Under which installed packages name kinds of their own (docs/extending.md)."""
FOLDER_KINDS: Final = ("clip", "hpsv2", "pickscore", "image_reward", "aesthetic")
"""Kinds of reward whose weights lie in a folder."""
PACKAGED_KINDS: Final = ("ocr", "verifier", "likeness", "nsfw")
"""Kinds of reward that bring their weights or rules along: they have no path, and no gradient."""
BUILT_IN: Final = (*FOLDER_KINDS, *PACKAGED_KINDS, "remote")


def reward_kinds() -> list[str]:
    """Every kind that there is here: ours, then those of installed packages."""
    return [*BUILT_IN, *sorted(point.name for point in entry_points(group=ENTRY_POINT))]


def _is_kind(kind: str) -> str:
    if kind not in BUILT_IN and kind not in (kinds := reward_kinds()):
        near = difflib.get_close_matches(kind, kinds, n=1)
        hint = f"perhaps {near[0]} is meant, one of" if near else "it must be one of"
        raise ValueError(f"there is no kind {kind} of reward; {hint} {', '.join(kinds)}")
    return kind


RewardKind = Annotated[str, AfterValidator(_is_kind)]


class Statistics(Section):
    """Mean and standard deviation of a reward's raw values, measured once; the reward is then (value - mean) / std."""

    mean: Annotated[float, Field(allow_inf_nan=False)]
    std: Positive


class RewardSpec(Section):
    """A reward model of one ``kind`` and its share of the sum.

    ``path`` is ``embedded:a``, ``embedded:b``, or a folder or hub id of that kind of model; the kinds ``ocr``,
    ``verifier``, ``likeness`` and ``nsfw`` have none, and installed packages may bring further kinds. A registered
    reward is named with its version, ``hpsv2@3``, and brings its kind, statistics and digest along. A path that begins
    with ``http://`` or ``https://`` is served by `rats reward serve`, of whatever kind it has there: its kind
    here is ``remote``. ``digest``, the SHA-256 of the folder, pins its bytes: others are refused. ``statistics`` bring
    rewards of different scales to one; null leaves the raw value.
    """

    name: Annotated[str, Field(min_length=1)]
    kind: RewardKind = "clip"
    path: str | None = None
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    weight: Positive = 1.0
    statistics: Statistics | None = None

    @property
    def elsewhere(self) -> bool:
        """Whether a server or an installed package computes it; what it declares, only they know."""
        return self.kind == "remote" or self.kind not in BUILT_IN

    @model_validator(mode="before")
    @classmethod
    def _address_is_remote(cls, values: Any) -> Any:
        """Let a path that is an address say the kind."""
        if isinstance(values, dict) and _is_address(values.get("path")):
            return {"kind": "remote", **values}
        return values

    @model_validator(mode="after")
    def _path_fits_kind(self) -> Self:
        if (self.kind == "remote") != _is_address(self.path):
            raise ValueError(
                f"reward {self.name} of kind {self.kind} has the path {self.path}; an address such as "
                "http://127.0.0.1:8100, and no other path, is of kind remote, for its server knows the kind"
            )
        if self.kind == "remote":
            _check_address(self.name, self.path or "")
        if self.path is None and self.kind in FOLDER_KINDS:
            raise ValueError(f"reward {self.name} of kind {self.kind} names no path; add the folder of its model")
        if self.path is not None and self.kind in PACKAGED_KINDS:
            raise ValueError(f"reward {self.name} of kind {self.kind} has no model of its own; take its path away")
        if self.digest is not None and (self.path is None or self.kind == "remote"):
            raise ValueError(f"reward {self.name} of kind {self.kind} has no folder; take its digest away")
        return self


class Rewards(Section):
    """Rewards that are trained on, and rewards that only judge.

    ``wait_minutes`` is how long to wait for a remote reward that no longer answers before giving up; what was computed
    until then is kept.
    """

    train: Annotated[list[RewardSpec], Field(min_length=1)]
    heldout: list[RewardSpec] = Field(default_factory=list)
    wait_minutes: Weight = 60.0

    @model_validator(mode="after")
    def _readers_only_judge(self) -> Self:
        """A reader of text takes a quarter of a second a picture."""
        readers = [spec.name for spec in self.train if spec.kind == "ocr"]
        if readers:
            raise ValueError(f"reward {readers[0]} is of kind ocr, too slow to train on; put it under rewards.heldout")
        return self


def _check_address(name: str, path: str) -> None:
    parts = urlsplit(path)
    if "@" in parts.netloc:
        raise ValueError(f"the path of reward {name} holds a name or password; keep them out of the recipe")
    try:
        whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment:
        raise ValueError(f"the path of reward {name} is {path}; write an address such as http://127.0.0.1:8100")


def _is_address(path: Any) -> bool:
    return isinstance(path, str) and path.startswith(("http://", "https://"))
