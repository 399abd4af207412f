"""Measure the cases of a suite and keep its table and plots up to date, case by case."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from components.prepare.resolve import resolve
from pipelines.benchmark.plots import save_plots
from pipelines.benchmark.results import Measured, Results
from pipelines.benchmark.rows import Row, case_rows
from pipelines.benchmark.run import run_cases
from pipelines.benchmark.suite import Case
from pipelines.benchmark.training import read_training
from pipelines.runs import step_folder
from rats_train.config import recipe_digest
from rats_train.evaluation.gallery import read_gallery, save_grid
from rats_train.evaluation.scores import Scores

PICTURED: Final = 8
TILE: Final = 112


def measure(
    cases: Sequence[Case], chosen: Sequence[Case], stem: Path, command: str, workspace: Path, console: Console
) -> list[Row]:
    """Run the ``chosen`` ones of a suite's cases and write everything that begins with ``stem``, after each of them.

    Of those that are not run, or not yet, the table keeps what it has, as long as their recipes are what they were.

    Returns:
        The rows of the table.

    Raises:
        UserError: a mistake in a recipe, or the files that stand at ``stem`` are not those of a benchmark, or hold a
            seed that none of ``cases`` has.
        RetryableError, StepFailedError: as `pipelines.local.run_pipeline`.
    """
    recipes = {case.key: resolve(case.load(), workspace.resolve()) for case in cases}
    digests = {key: recipe_digest(recipe) for key, recipe in recipes.items()}
    results = Results.read(stem, digests, seeds=1 + max(case.seed for case in cases))
    for case, run in run_cases(chosen, workspace, console):
        training, pace = read_training(case.method, case.seed, run)
        results[case.key] = Measured(list(case_rows(case, recipes[case.key].rewards, run, pace)), training)
        results.arrange([case.key for case in cases])
        results.write(command)
        save_plots(results.trainings, results.rows, stem)
        if case.seed == cases[0].seed:
            _save_pictures(run, stem.with_name(f"{stem.name}_pictures_{case.method}.webp"))
    return results.rows


def _save_pictures(run: Path, path: Path) -> None:
    """The first prompts, which nobody chose, as teacher and student draw them."""
    folder = step_folder(run, "evaluate_rewards") / "evaluation"
    save_grid(read_gallery(folder, Scores.read(folder / "scores.json"), PICTURED), path, TILE)
