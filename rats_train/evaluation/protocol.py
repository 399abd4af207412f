"""How an evaluation was made: what two of them must have in common before their numbers may be compared.

A student's own noise levels are not in it: they belong to the student as its weights do, and it is always drawn on
those that it is served with (`check_schedule`).
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.evaluation.arms import budgets
from rats_train.files import read_json
from rats_train.models.folder import STUDENT_CARD
from rats_train.rewards.digest import reward_digest
from rats_train.sampling.schedule import teacher_sigmas

VERSION: Final = 1
"""To be raised whenever the same pictures would get other numbers from our own metrics."""


class NotComparableError(UserError):
    """Two students were not evaluated alike, so that neither can be called the better one."""


class Protocol(BaseModel):
    """The settings of an evaluation.

    Attributes:
        prompts: SHA-256 of the prompts, in order.
        seeds: SHA-256 of the seeds of all images, in order.
        resolution: shape of a picture as drawn, ``[3, H, W]``, or of a video, ``[T, 3, H, W]``.
        budgets: the student's steps (its network evaluations a picture).
        student_guidance_scale: what the student was drawn with.
        teacher: SHA-256 of the teacher's folder.
        teacher_sigmas: the noise levels of its full schedule.
        solver: how a step is taken.
        rewards: name -> digest of weights, kind and statistics, of trained and held-out rewards alike.
        features: the reward in whose features diversity and distance are measured; None without one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    prompts: str
    count: int
    images_per_prompt: int
    seeds: str
    resolution: list[int]
    budgets: list[int]
    student_guidance_scale: float
    teacher: str
    teacher_steps: int
    teacher_guidance_scale: float
    teacher_sigmas: list[float]
    solver: str
    precision: str
    rewards: dict[str, str]
    features: str | None

    @property
    def digest(self) -> str:
        """12 hex digits that two evaluations share exactly when every setting is equal."""
        return _digest(self.model_dump(mode="json"))[:12]

    def differences(self, other: "Protocol") -> list[str]:
        """The settings that differ, by name, with both values where they are short."""
        return [
            f"{name} ({_short(ours)}, {_short(theirs)})"
            for name in type(self).model_fields
            if (ours := getattr(self, name)) != (theirs := getattr(other, name))
        ]

    def require_equal(self, other: "Protocol") -> None:
        """Refuse to compare what was not measured alike.

        Raises:
            NotComparableError: names every setting that differs.
        """
        if different := self.differences(other):
            raise NotComparableError(
                f"The two students cannot be compared: their evaluations {self.digest} and {other.digest} differ in "
                f"{', '.join(different)}. Evaluate both with the same recipe."
            )


def read_protocol(
    recipe: Recipe,
    *,
    teacher: str,
    prompts: Sequence[str],
    seeds: Sequence[int],
    resolution: Sequence[int],
    features: str | None,
) -> Protocol:
    """The protocol of an evaluation by ``recipe``.

    Args:
        recipe: names budgets, guidance, teacher and rewards.
        teacher: digest of the teacher's folder.
        prompts: each once, in order.
        seeds: one an image.
        resolution: shape of a picture as drawn.
        features: name of the reward in whose features diversity is measured, if any.

    Raises:
        UserError: a reward model is missing.
    """
    specs = [*recipe.rewards.train, *recipe.rewards.heldout]
    return Protocol(
        version=VERSION,
        prompts=_digest(list(prompts)),
        count=recipe.evaluation.count,
        images_per_prompt=recipe.evaluation.images_per_prompt,
        seeds=_digest(list(seeds)),
        resolution=list(resolution),
        budgets=budgets(recipe),
        student_guidance_scale=recipe.student_guidance_scale,
        teacher=teacher,
        teacher_steps=recipe.teacher.steps,
        teacher_guidance_scale=recipe.teacher.guidance_scale,
        teacher_sigmas=[round(sigma, 6) for sigma in teacher_sigmas(recipe).tolist()],
        solver="euler",
        precision=recipe.training.precision,
        rewards={spec.name: reward_digest(spec) for spec in specs},
        features=features,
    )


def check_schedule(recipe: Recipe, student: Path) -> None:
    """Refuse to draw a student on other noise levels than those that it carries and is served with.

    Raises:
        UserError: they differ, or the student carries none.
    """
    card = student / STUDENT_CARD
    if not (student / "model_index.json").is_file():
        raise UserError(f"No diffusers folder at {student} (no model_index.json in it): name a student's folder.")
    if not card.is_file():
        raise UserError(f"{student} is not a student: it has no {STUDENT_CARD}, which training writes.")
    own = read_json(card)["terminal_sigma"]
    if own != recipe.student.terminal_sigma:
        raise UserError(
            f"The student in {student} is served on noise levels that end at {own}, and student.terminal_sigma of the "
            f"recipe is {recipe.student.terminal_sigma}: set it to {own}."
        )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
