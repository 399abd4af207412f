"""The models of a recipe, loaded at its resolution and precision."""

from pathlib import Path

import torch

from rats_train.config import Recipe
from rats_train.embedded import teacher_folder
from rats_train.models.base import FlowModel
from rats_train.models.load import load_model


def load_teacher(recipe: Recipe) -> FlowModel:
    """The pipeline that ``teacher.path`` names.

    Raises:
        UserError: it is missing, or of another family than the recipe's.
    """
    return load_like_teacher(recipe, teacher_folder(recipe.teacher.path))


def load_like_teacher(recipe: Recipe, folder: Path) -> FlowModel:
    """The pipeline in ``folder``, such as a student's, as the teacher is loaded.

    Raises:
        UserError: it is missing, or of another family than the recipe's.
    """
    dtype = torch.bfloat16 if recipe.training.precision == "bf16" else torch.float32
    return load_model(folder, recipe.resolution, dtype, family=recipe.family)
