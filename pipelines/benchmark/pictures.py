"""The same prompts and seeds by the teacher and by every method of a suite: a sheet for each number of steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from torch import Tensor

from pipelines.benchmark.suite import Case
from pipelines.runs import step_folder
from rats_train.evaluation.arms import budgets
from rats_train.evaluation.gallery import Exhibit, read_gallery
from rats_train.evaluation.pictures import GridRow, draw_grid, to_picture
from rats_train.evaluation.scores import Scores

ROWS: Final = 8
TILE: Final = 112


def save_sheets(cases: Sequence[Case], runs: Sequence[Path], stem: Path) -> list[Path]:
    """``<stem>_pictures_<steps>.png`` for every budget: the first prompts of the first seed; nobody chose them.

    Raises:
        UserError: the pictures of a case are gone or damaged.
    """
    first = [(case, run) for case, run in zip(cases, runs, strict=True) if case.seed == cases[0].seed]
    recipes = {case.method: case.load() for case, _ in first}
    galleries = {case.method: _read(run) for case, run in first}
    full = cases[0].load().teacher.steps
    paths = []
    for steps in sorted({steps for recipe in recipes.values() for steps in budgets(recipe)}):
        drawn = {method: galleries[method] for method, recipe in recipes.items() if steps in recipe.student.steps}
        paths.append(stem.with_name(f"{stem.name}_pictures_{steps}.png"))
        _save_sheet(drawn, steps, full, paths[-1])
    return paths


def _read(run: Path) -> list[Exhibit]:
    folder = step_folder(run, "evaluate_rewards") / "evaluation"
    return read_gallery(folder, Scores.read(folder / "scores.json"), ROWS)


def _save_sheet(galleries: dict[str, list[Exhibit]], steps: int, full: int, path: Path) -> None:
    """A row a prompt: the teacher in full and at ``steps``, then every method."""
    teacher = next(iter(galleries.values()))
    columns = {
        f"teacher {full}": _pictures(teacher, "teacher", full),
        f"teacher {steps}": _pictures(teacher, "teacher", steps),
        **{method: _pictures(gallery, "student", steps) for method, gallery in galleries.items()},
    }
    rows = [
        GridRow(exhibit.prompt, [to_picture(drawn[number], TILE) for drawn in columns.values()])
        for number, exhibit in enumerate(teacher)
    ]
    draw_grid(list(columns), rows).save(path, "PNG", optimize=True)


def _pictures(gallery: list[Exhibit], role: str, steps: int) -> list[Tensor]:
    return [tile.image for exhibit in gallery for tile in exhibit.tiles if (tile.role, tile.steps) == (role, steps)]
