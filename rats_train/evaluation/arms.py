"""The arms of an evaluation: who draws, in how many steps, at which noise levels, with how much guidance."""

from dataclasses import dataclass
from typing import Literal

from rats_train.config import Recipe
from rats_train.sampling.schedule import student_sigmas, teacher_sigmas

Role = Literal["student", "teacher"]


@dataclass(frozen=True)
class Arm:
    """One way of drawing every held-out prompt.

    Attributes:
        name: unique, such as ``student_3``, ``teacher_3``, ``teacher_3_unguided``, ``teacher_50``.
        sigmas: noise levels from 1 to 0, ``steps + 1`` of them.
    """

    name: str
    role: Role
    steps: int
    guidance_scale: float
    sigmas: tuple[float, ...]

    @property
    def evaluations(self) -> int:
        """Transformer evaluations an image: guidance asks the network twice a step."""
        return self.steps * (1 if self.guidance_scale == 1 else 2)


def student_arm(steps: int) -> str:
    """Name of the student's arm at ``steps`` steps."""
    return f"student_{steps}"


def teacher_arm(steps: int) -> str:
    """Name of the guided teacher's arm at ``steps`` steps."""
    return f"teacher_{steps}"


def unguided_arm(steps: int) -> str:
    """Name of the teacher's arm without guidance: exactly as many evaluations as the student has."""
    return f"teacher_{steps}_unguided"


def budgets(recipe: Recipe) -> list[int]:
    """The few-step budgets that are compared; the teacher's full schedule is an arm of its own."""
    return sorted(steps for steps in recipe.student.steps if steps != recipe.teacher.steps)


def plan_arms(recipe: Recipe) -> list[Arm]:
    """All arms of a recipe, cheap ones first.

    At a student's budget the teacher draws on the student's own noise levels, once guided (two evaluations a step) and
    once without guidance (as many evaluations as the student), so that neither reading of "the same cost" is left out.
    """
    terminal, guidance, full = recipe.student.terminal_sigma, recipe.teacher.guidance_scale, recipe.teacher.steps
    arms = []
    for steps in budgets(recipe):
        sigmas = tuple(student_sigmas(steps, terminal).tolist())
        arms.append(Arm(student_arm(steps), "student", steps, 1.0, sigmas))
        if guidance != 1:
            arms.append(Arm(unguided_arm(steps), "teacher", steps, 1.0, sigmas))
        arms.append(Arm(teacher_arm(steps), "teacher", steps, guidance, sigmas))
    arms.append(Arm(student_arm(full), "student", full, 1.0, tuple(student_sigmas(full, terminal).tolist())))
    arms.append(Arm(teacher_arm(full), "teacher", full, guidance, tuple(teacher_sigmas(full).tolist())))
    return arms
