"""The teacher that a recipe names, loaded."""

import torch

from rats_train.config import Recipe
from rats_train.embedded import teacher_folder
from rats_train.models.base import FlowModel
from rats_train.models.load import load_model


def load_teacher(recipe: Recipe, dtype: torch.dtype = torch.float32) -> FlowModel:
    """The pipeline of ``teacher.path`` at the recipe's resolution.

    Raises:
        UserError: it is missing, or of another family than the recipe's.
    """
    return load_model(teacher_folder(recipe.teacher.path), recipe.resolution, dtype, family=recipe.family)
