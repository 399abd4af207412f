"""The noise levels of a recipe: those of the teacher's stock scheduler, so that stock diffusers walks the same path."""

from functools import cache
from pathlib import Path

from torch import Tensor

from rats_train.config import Recipe
from rats_train.embedded import teacher_folder
from rats_train.models.folder import PipelineFolder
from rats_train.models.schedule import Schedule, read_schedule
from rats_train.resolution import Resolution


def teacher_sigmas(recipe: Recipe) -> Tensor:
    """Sigmas[N + 1], float32, of the teacher's full schedule, falling from 1 to 0."""
    return _schedule(teacher_folder(recipe.teacher.path), recipe.resolution).sigmas(recipe.teacher.steps)


def student_sigmas(recipe: Recipe, steps: int) -> Tensor:
    """Sigmas[steps + 1], float32, of the student: its last level before 0 is ``student.terminal_sigma``."""
    schedule = _schedule(teacher_folder(recipe.teacher.path), recipe.resolution)
    return schedule.ending_at(recipe.student.terminal_sigma).sigmas(steps)


@cache
def _schedule(path: Path, resolution: Resolution | None) -> Schedule:
    folder = PipelineFolder(path)
    return read_schedule(folder, resolution or folder.default_resolution)
