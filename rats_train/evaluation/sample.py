"""Draw every arm over the same prompts and seeds, score the pictures, and write the scorecard.

    with ProgressReport("evaluation") as report:
        card = evaluate(load_recipe("emoji"), Path("runs/latest/student"), Path("runs/latest/evaluation"), report)

The folder then holds ``arms/<arm>.safetensors`` (the pictures), ``scores.json`` (every image's numbers),
``scorecard.json``, ``grid.png`` and ``worst.png``. An arm that was already drawn from the same weights, prompts, seeds
and noise levels is reused, so that an interrupted evaluation carries on where it stopped.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

from rats_train.config import Recipe, recipe_digest
from rats_train.evaluation.arm_names import student_arm, teacher_arm
from rats_train.evaluation.arms import Arm, budgets, plan_arms
from rats_train.evaluation.distribution import squared_mmd
from rats_train.evaluation.draws import Draws
from rats_train.evaluation.gallery import WORST, read_gallery, read_worst, save_grid
from rats_train.evaluation.heldout import image_seeds, tagged_heldout_prompts
from rats_train.evaluation.judges import Judges
from rats_train.evaluation.painter import Painter
from rats_train.evaluation.recipe_protocol import check_schedule, read_protocol
from rats_train.evaluation.scorecard import build_scorecard, read_settings
from rats_train.evaluation.scores import ArmScores, Scores
from rats_train.provenance import describe_provenance

OnProgress = Callable[[int, int, str], None]
"""Called with network evaluations done, evaluations in all, and the arm that is being drawn."""


def evaluate(recipe: Recipe, student_dir: Path, out: Path, on_progress: OnProgress | None = None) -> Path:
    """Evaluate a student against its teacher; returns the path of the scorecard.

    Raises:
        UserError: a model, reward or prompt file is missing, the student is served on another schedule than the
            recipe's, or a reward is not finite.
    """
    scores = _score_arms(recipe, student_dir, out, plan_arms(recipe), on_progress)
    scores.write(out / "scores.json")
    save_grid(read_gallery(out, scores, recipe.evaluation.gallery_count), out / "grid.png")
    save_grid(read_worst(out, scores, WORST), out / "worst.png")
    settings = read_settings(recipe, resolution=scores.protocol.resolution[-1])
    card = build_scorecard(scores, settings, describe_provenance(recipe.name, recipe_digest(recipe)))
    card.write(out / "scorecard.json")
    return out / "scorecard.json"


def score_student(recipe: Recipe, student_dir: Path, out: Path, on_progress: OnProgress | None = None) -> Scores:
    """Draw and score a student alone at its budgets, as `evaluate` does beside its teacher.

    Raises:
        UserError: as `evaluate`.
    """
    wanted = {student_arm(steps) for steps in budgets(recipe)}
    return _score_arms(recipe, student_dir, out, [arm for arm in plan_arms(recipe) if arm.name in wanted], on_progress)


def _score_arms(
    recipe: Recipe, student_dir: Path, out: Path, plan: Sequence[Arm], on_progress: OnProgress | None
) -> Scores:
    check_schedule(recipe, student_dir)
    tagged, seeds, per_prompt = tagged_heldout_prompts(recipe), image_seeds(recipe), recipe.evaluation.images_per_prompt
    prompts = [prompt.text for prompt in tagged]
    asked = [prompt for prompt in prompts for _ in range(per_prompt)]
    painter, judges = Painter(recipe, student_dir, out, asked, seeds), Judges(recipe, asked)
    total, before, arms, features = sum(arm.evaluations for arm in plan) * len(seeds), 0, {}, {}
    for arm in plan:
        report = partial(_report, on_progress, arm, before, total)
        draws = painter.draws(arm, report)
        features[arm.name] = judges.features(draws.images)
        arms[arm.name] = _score(arm, draws, judges.values(draws.images, features[arm.name]))
        report(len(seeds), len(seeds))
        before += arm.evaluations * len(seeds)
    return Scores(
        protocol=read_protocol(
            recipe,
            teacher=painter.digest("teacher"),
            prompts=prompts,
            seeds=seeds,
            resolution=draws.images.shape[1:],
            features=judges.encoder,
        ),
        prompts=prompts,
        tags=[dict(prompt.tags) for prompt in tagged],
        images_per_prompt=per_prompt,
        seeds=seeds,
        kinds=judges.kinds,
        arms=_with_distances(arms, features, teacher_arm(recipe.teacher.steps), per_prompt),
    )


def _with_distances(
    arms: dict[str, ArmScores], features: dict[str, Tensor | None], full: str, per_prompt: int
) -> dict[str, ArmScores]:
    """The arms with their pictures' distance from the full teacher's, where both have features and prompts enough."""
    theirs = features.get(full)
    if theirs is None or len(theirs) < 3 * per_prompt:
        return arms
    return {
        name: arm
        if name == full or (ours := features[name]) is None
        else arm.model_copy(update={"distance": squared_mmd(ours, theirs, per_prompt)})
        for name, arm in arms.items()
    }


def _report(on_progress: OnProgress | None, arm: Arm, before: int, total: int, images: int, _: int) -> None:
    if on_progress is not None:
        on_progress(before + arm.evaluations * images, total, arm.name)


def _score(arm: Arm, draws: Draws, values: dict[str, list[float]]) -> ArmScores:
    return ArmScores(
        role=arm.role,
        steps=arm.steps,
        guidance_scale=arm.guidance_scale,
        evaluations=arm.evaluations,
        seconds_per_image=draws.seconds / len(draws.images),
        values=values,
    )
