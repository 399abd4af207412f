"""The method that a recipe names."""

from rats_train.config import Recipe
from rats_train.methods.base import Method
from rats_train.methods.rats import Rats


def build_method(recipe: Recipe) -> Method:
    """The method of ``recipe.method.name``."""
    methods = {"rats": Rats}
    return methods[recipe.method.name](recipe)
