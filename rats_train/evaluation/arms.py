"""The arms of an evaluation: who draws, in how many steps, at which noise levels, with how much guidance."""

from dataclasses import dataclass
from typing import Literal

from rats_train.config import Recipe
from rats_train.evaluation.arm_names import student_arm, teacher_arm, unguided_arm
from rats_train.sampling.schedule import student_sigmas, teacher_sigmas

Role = Literal["student", "teacher"]


@dataclass(frozen=True)
class Arm:
    """One way of drawing every held-out prompt.

    Attributes:
        name: unique, such as ``student_3``, ``teacher_3``, ``teacher_3_unguided``, ``teacher_50``.
        sigmas: noise levels from 1 to 0, ``steps + 1`` of them.
        evaluations: transformer evaluations an image; classifier-free guidance asks the network twice a step.
    """

    name: str
    role: Role
    steps: int
    guidance_scale: float
    sigmas: tuple[float, ...]
    evaluations: int


def budgets(recipe: Recipe) -> list[int]:
    """The few-step budgets that are compared; the teacher's full schedule is an arm of its own."""
    return sorted(steps for steps in recipe.student.steps if steps != recipe.teacher.steps)


def plan_arms(recipe: Recipe) -> list[Arm]:
    """All arms of a recipe, cheap ones first.

    At a student's budget the teacher draws on the student's own noise levels, once guided (two evaluations a step) and
    once without guidance (as many evaluations as the student), so that neither reading of "the same cost" is left out.
    Where the network is told the guidance scale both are one.
    """
    full, guidance, own_guidance = recipe.teacher.steps, recipe.teacher.guidance_scale, recipe.student_guidance_scale
    cost = recipe.teacher_evaluations
    arms = []
    for steps in budgets(recipe):
        sigmas = tuple(student_sigmas(recipe, steps).tolist())
        arms.append(Arm(student_arm(steps), "student", steps, own_guidance, sigmas, steps))
        if cost > 1:
            arms.append(Arm(unguided_arm(steps), "teacher", steps, own_guidance, sigmas, steps))
        arms.append(Arm(teacher_arm(steps), "teacher", steps, guidance, sigmas, steps * cost))
    sigmas = tuple(student_sigmas(recipe, full).tolist())
    arms.append(Arm(student_arm(full), "student", full, own_guidance, sigmas, full))
    sigmas = tuple(teacher_sigmas(recipe).tolist())
    arms.append(Arm(teacher_arm(full), "teacher", full, guidance, sigmas, full * cost))
    return arms
