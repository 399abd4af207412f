"""The method that a recipe names."""

from rats_train.config import Recipe
from rats_train.methods.base import Method
from rats_train.methods.distill import Distill
from rats_train.methods.grpo import Grpo
from rats_train.methods.otca import Otca
from rats_train.methods.rats import Rats
from rats_train.methods.rats_grpo import RatsGrpo
from rats_train.methods.reward_only import RewardOnly
from rats_train.methods.rtdmd import Rtdmd
from rats_train.recipe_methods import (
    DistillMethod,
    GrpoMethod,
    OtcaMethod,
    RatsGrpoMethod,
    RatsMethod,
    RewardOnlyMethod,
    RtdmdMethod,
    plugged_method,
)


def build_method(recipe: Recipe) -> Method:
    """The method whose settings ``recipe.method`` holds."""
    match recipe.method:
        case RatsMethod() as settings:
            return Rats(recipe, settings)
        case DistillMethod() as settings:
            return Distill(recipe, settings)
        case RewardOnlyMethod() as settings:
            return RewardOnly(recipe, settings)
        case GrpoMethod() as settings:
            return Grpo(recipe, settings)
        case RatsGrpoMethod() as settings:
            return RatsGrpo(recipe, settings)
        case OtcaMethod() as settings:
            return Otca(recipe, settings)
        case RtdmdMethod() as settings:
            return Rtdmd(recipe, settings)
        case settings:
            plugged = plugged_method(settings.name)
            assert plugged is not None
            method: Method = plugged(recipe, settings)
            return method
