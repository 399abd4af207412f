"""How an evaluation was made: what two of them must have in common before their numbers may be compared.

A student's own noise levels are not in it: they belong to the student as its weights do, and it is always drawn on
those that it is served with (`recipe_protocol.check_schedule`).
"""

import json
from typing import Final

from pydantic import BaseModel, ConfigDict

from rats_train.errors import UserError
from rats_train.files import sha256_json

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
        return sha256_json(self.model_dump(mode="json"))[:12]

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


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
