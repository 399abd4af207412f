"""From a recipe to the protocol of its evaluation, and whether a student may be drawn by it."""

from collections.abc import Sequence
from pathlib import Path

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.evaluation.arms import budgets
from rats_train.evaluation.protocol import VERSION, Protocol
from rats_train.files import read_json, sha256_json
from rats_train.models.folder import STUDENT_CARD
from rats_train.rewards.digest import reward_digest
from rats_train.sampling.schedule import teacher_sigmas


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
        prompts=sha256_json(list(prompts)),
        count=recipe.evaluation.count,
        images_per_prompt=recipe.evaluation.images_per_prompt,
        seeds=sha256_json(list(seeds)),
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
