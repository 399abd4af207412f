"""What a training method spends on one row of a batch: a forecast for `rats plan`, method by method."""

from dataclasses import dataclass

from rats_train.config import Recipe
from rats_train.recipe_methods import GrpoMethod, PolicySettings, RatsMethod, RewardOnlyMethod

# A backward pass costs two forward passes.
FORWARD_AND_BACKWARD = 3
# Forward passes that are made once more on the way back.
RECOMPUTED = {"none": 0, "step": 1, "block": 1, "both": 2}


@dataclass(frozen=True)
class RowCost:
    """Transformer evaluations and pictures of one row, in forward passes, and evaluations kept for the way back."""

    evaluations: float = 0.0
    pictures: float = 0.0
    kept: int = 0

    def __add__(self, other: "RowCost") -> "RowCost":
        return RowCost(self.evaluations + other.evaluations, self.pictures + other.pictures, self.kept + other.kept)


def row_cost(recipe: Recipe) -> RowCost:
    """The cost of one row at the mean budget; what is kept, at the greatest."""
    method = recipe.method
    # GRPO learns nothing from the served chain, and draws it to record its reward.
    recorded = RowCost(sum(recipe.student.steps) / len(recipe.student.steps), 1)
    cost = recorded if isinstance(method, GrpoMethod) else _served_chain(recipe)
    return cost + _groups(recipe, method) if isinstance(method, PolicySettings) else cost


def _served_chain(recipe: Recipe) -> RowCost:
    """A chain with gradient, its picture (with gradient where the reward is trained through), an online teacher's."""
    method, budgets, teacher = recipe.method, recipe.student.steps, recipe.teacher
    through_reward = isinstance(method, RatsMethod | RewardOnlyMethod)
    backprop_steps = method.backprop_steps if isinstance(method, RatsMethod | RewardOnlyMethod) else None
    online = teacher.source == "ema"
    rollout = teacher.steps * recipe.teacher_evaluations
    return RowCost(
        sum(budgets) / len(budgets) * _trained_evaluation(recipe) + online * rollout,
        FORWARD_AND_BACKWARD if through_reward else 1,
        backprop_steps or max(budgets),
    )


def _groups(recipe: Recipe, settings: PolicySettings) -> RowCost:
    """Groups of chains whose last step has no gradient, and the same steps once more under a reference."""
    budgets, size = recipe.student.steps, settings.group_size
    random = sum(budgets) / len(budgets) - 1
    reference = random if settings.kl_weight else 0
    trained = random * _trained_evaluation(recipe)
    return RowCost(size * (trained + 1 + reference), size, size * (max(budgets) - 1))


def _trained_evaluation(recipe: Recipe) -> int:
    """Forward passes that one evaluation with gradient costs."""
    return FORWARD_AND_BACKWARD + RECOMPUTED[recipe.training.recompute]
