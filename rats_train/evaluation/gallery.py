"""The pictures that a person compares: teacher from many steps to few, student from many to few, same prompt and seed.

The first held-out prompts with their first seed are shown, which nobody chose, and those on which the student is worst.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from rats_train.errors import UserError
from rats_train.evaluation.arm_names import student_arm, teacher_arm
from rats_train.evaluation.bootstrap import Values
from rats_train.evaluation.draws import draws_path, load_draws
from rats_train.evaluation.pictures import GridRow, draw_grid, to_picture
from rats_train.evaluation.scores import ALL_CORRECT, Scores

WORST = 6
"""Prompts shown of those on which the student is worst."""


@dataclass(frozen=True)
class Tile:
    """One picture ``uint8[3, H, W]``: who drew it in how many steps, and whether the verifier found all of it right."""

    role: str
    steps: int
    image: Tensor
    correct: bool | None


@dataclass(frozen=True)
class Exhibit:
    """One prompt and seed, as drawn by every arm of the gallery."""

    prompt: str
    seed: int
    tiles: list[Tile]


def gallery_arms(scores: Scores) -> list[str]:
    """Teacher then student, each from many steps to few; the student at its own budgets only."""
    student_steps = sorted({arm.steps for arm in scores.arms.values() if arm.role == "student"}, reverse=True)
    teacher = [teacher_arm(steps) for steps in student_steps]
    return teacher + [student_arm(steps) for steps in student_steps[1:]]


def read_gallery(folder: Path, scores: Scores, count: int) -> list[Exhibit]:
    """The first ``count`` prompts of an evaluation folder, with their first seed.

    Raises:
        UserError: the pictures of an arm are gone or damaged.
    """
    shown = range(min(count, len(scores.prompts)))
    return _read_rows(folder, scores, [prompt * scores.images_per_prompt for prompt in shown])


def read_worst(folder: Path, scores: Scores, count: int) -> list[Exhibit]:
    """The ``count`` prompts on which the student falls farthest behind the full teacher, each with its worst seed.

    Raises:
        UserError: the pictures of an arm are gone or damaged.
    """
    behind = _lead(scores).reshape(len(scores.prompts), -1)
    worst = np.argsort(behind.mean(axis=1), kind="stable")[:count]
    return _read_rows(folder, scores, [int(p * scores.images_per_prompt + behind[p].argmin()) for p in worst])


def _lead(scores: Scores) -> Values:
    """``[N]`` the student's lead over the full teacher, picture by picture: the mean over budgets and held-out rewards
    (or, without one, all rewards), each in units of its spread."""
    full = teacher_arm(scores.protocol.teacher_steps)
    leads = [
        (scores.values(student_arm(budget), name) - scores.values(full, name)) / (scores.values(full, name).std() or 1)
        for budget in scores.protocol.budgets
        for name in scores.of_kind("heldout") or scores.of_kind("trained")
    ]
    lead: Values = np.mean(leads, axis=0)
    return lead


def _read_rows(folder: Path, scores: Scores, rows: Sequence[int]) -> list[Exhibit]:
    arms = gallery_arms(scores)
    images = {arm: _images(folder, arm) for arm in arms}
    exhibits = []
    for row in rows:
        tiles = [
            Tile(scores.arms[arm].role, scores.arms[arm].steps, images[arm][row], _correct(scores, arm, row))
            for arm in arms
        ]
        exhibits.append(Exhibit(scores.prompts[row // scores.images_per_prompt], scores.seeds[row], tiles))
    return exhibits


def save_grid(exhibits: list[Exhibit], path: Path, tile: int = 160) -> None:
    """All exhibits as one captioned picture, in the format of its suffix, with tiles of ``tile`` pixels."""
    titles = [f"{one.role} {one.steps}" for one in exhibits[0].tiles]
    rows = [GridRow(one.prompt, [to_picture(part.image, tile) for part in one.tiles]) for one in exhibits]
    draw_grid(titles, rows).save(path, optimize=True)


def _correct(scores: Scores, arm: str, row: int) -> bool | None:
    return bool(scores.arms[arm].values[ALL_CORRECT][row]) if ALL_CORRECT in scores.kinds else None


def _images(folder: Path, arm: str) -> Tensor:
    draws = load_draws(draws_path(folder, arm))
    if draws is None:
        raise UserError(f"{folder} lacks the pictures of {arm}: evaluate again into this folder.")
    return draws.images
