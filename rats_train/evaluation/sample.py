"""Draw every arm over the same prompts and seeds, score the pictures, and write the scorecard.

    with ProgressReport("evaluation") as report:
        card = evaluate(load_recipe("emoji"), Path("runs/latest/student"), Path("runs/latest/evaluation"), report)

The folder then holds ``arms/<arm>.safetensors`` (the pictures), ``scores.json`` (every image's numbers),
``scorecard.json`` and ``grid.png``. An arm that was already drawn from the same weights, prompts, seeds and noise
levels is reused, so that an interrupted evaluation carries on where it stopped.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from rats_train.config import Recipe, recipe_digest
from rats_train.evaluation.arms import Arm, plan_arms
from rats_train.evaluation.draws import Draws
from rats_train.evaluation.gallery import read_gallery, save_grid
from rats_train.evaluation.heldout import heldout_prompts, image_seeds
from rats_train.evaluation.judges import Judges
from rats_train.evaluation.painter import Painter
from rats_train.evaluation.scorecard import build_scorecard, read_settings
from rats_train.evaluation.scores import ArmScores, Scores
from rats_train.provenance import describe_provenance

OnProgress = Callable[[int, int, str], None]
"""Called with network evaluations done, evaluations in all, and the arm that is being drawn."""


def evaluate(recipe: Recipe, student_dir: Path, out: Path, on_progress: OnProgress | None = None) -> Path:
    """Evaluate a student against its teacher; returns the path of the scorecard.

    Raises:
        UserError: a model, reward or prompt file is missing, or a reward is not finite.
    """
    scores = _score_arms(recipe, student_dir, out, on_progress)
    scores.write(out / "scores.json")
    exhibits = read_gallery(out, scores, recipe.evaluation.gallery_count)
    save_grid(exhibits, out / "grid.png")
    settings = read_settings(recipe, resolution=exhibits[0].tiles[0].image.shape[-1])
    card = build_scorecard(scores, settings, describe_provenance(recipe.name, recipe_digest(recipe)))
    card.write(out / "scorecard.json")
    return out / "scorecard.json"


def _score_arms(recipe: Recipe, student_dir: Path, out: Path, on_progress: OnProgress | None) -> Scores:
    prompts, seeds, per_prompt = heldout_prompts(recipe), image_seeds(recipe), recipe.evaluation.images_per_prompt
    asked = [prompt for prompt in prompts for _ in range(per_prompt)]
    painter, judges = Painter(recipe, student_dir, out, asked, seeds), Judges(recipe, asked)
    plan = plan_arms(recipe)
    total, before, arms = sum(arm.evaluations for arm in plan) * len(seeds), 0, {}
    for arm in plan:
        report = partial(_report, on_progress, arm, before, total)
        arms[arm.name] = _score(arm, painter.draws(arm, report), judges)
        report(len(seeds), len(seeds))
        before += arm.evaluations * len(seeds)
    return Scores(prompts=prompts, images_per_prompt=per_prompt, seeds=seeds, kinds=judges.kinds, arms=arms)


def _report(on_progress: OnProgress | None, arm: Arm, before: int, total: int, images: int, _: int) -> None:
    if on_progress is not None:
        on_progress(before + arm.evaluations * images, total, arm.name)


def _score(arm: Arm, draws: Draws, judges: Judges) -> ArmScores:
    return ArmScores(
        role=arm.role,
        steps=arm.steps,
        guidance_scale=arm.guidance_scale,
        evaluations=arm.evaluations,
        seconds_per_image=draws.seconds / len(draws.images),
        values=judges.values(draws.images),
    )
