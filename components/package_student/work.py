"""The work of this step, as a function of paths."""

from pathlib import Path

from components.shared.process import limit_threads
from components.shared.summary import table, write_summary
from rats_train.config import Recipe, load_recipe


def package_repository(recipe_path: Path, student: Path, evaluation: Path, folder: Path) -> None:
    """Make ``folder/package``, a model repository with the student as its first version, and verify it."""
    limit_threads()
    from serving.package.verification import verify_package
    from serving.packaging.student import package_student

    prompts, pattern = training_prompts(load_recipe(str(recipe_path)))
    version = package_student(
        student, folder / "package", evaluation / "scorecard.json", prompts=prompts, pattern=pattern
    )
    package = verify_package(version)
    rows = [["steps", ", ".join(map(str, package.steps))], ["size", f"{package.resolution} pixels"]]
    write_summary(folder, f"# {package.model} version {package.version}, signed\n\n{table(['', ''], rows)}")


def training_prompts(recipe: Recipe) -> tuple[list[str], str]:
    """What students of a recipe are trained on, and the pattern that all of it matches, if there is one."""
    from rats_train.trajectories.prompts import PromptSource
    from rats_train.world.grammar import PATTERN

    return PromptSource(recipe).all, PATTERN.pattern if recipe.trajectories.prompts == "embedded" else ""
