"""What a training method spends on one row of a batch: a forecast for `rats plan`, method by method."""

from collections.abc import Callable
from dataclasses import dataclass

from rats_train.config import Recipe
from rats_train.recipe_methods import GrpoMethod, OtcaMethod, PolicySettings, RatsMethod, RewardOnlyMethod, RtdmdMethod

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
    if isinstance(method, RtdmdMethod):
        return _rtdmd(recipe, method)
    # GRPO and OTCA learn nothing from the served chain, and draw it to record its reward.
    cost = _recorded_chain(recipe) if isinstance(method, GrpoMethod | OtcaMethod) else _served_chain(recipe)
    return cost + _groups(recipe, method) if isinstance(method, PolicySettings) else cost


def _rtdmd(recipe: Recipe, settings: RtdmdMethod) -> RowCost:
    """The mean over cold start and what follows; what is kept, of the dearest step that there is."""
    budgets, cold, size = recipe.student.steps, settings.cold_start, settings.group_size
    mean, trained = _mean(recipe, float), _trained_evaluation(recipe)
    # The fake score looks at a state, and for its consistency at two more.
    looks = 3 if settings.consistency_weight else 1
    matched = trained + recipe.teacher_evaluations
    to_stop = (mean - 1) / 2
    resting = RowCost(to_stop + 1 + looks * trained, 0, looks)
    learning = RowCost(to_stop + matched + looks * trained, 0, 1 + looks) + _recorded_chain(recipe)

    def learned(budget: int) -> int:
        return min(settings.learned_steps or budget, budget - 1)

    mean_learned = _mean(recipe, learned)
    drawn = mean - 1 - mean_learned + mean_learned * trained + (mean_learned if settings.kl_weight else 0)
    groups = RowCost(
        size * (drawn + matched + looks * trained),
        size * FORWARD_AND_BACKWARD,
        size * (learned(max(budgets)) + 1 + looks),
    )
    tilting, share = groups + _recorded_chain(recipe), 1 / settings.fake_updates
    return RowCost(
        cold * ((1 - share) * resting.evaluations + share * learning.evaluations) + (1 - cold) * tilting.evaluations,
        cold * share * learning.pictures + (1 - cold) * tilting.pictures,
        tilting.kept if cold < 1 else learning.kept,
    )


def _recorded_chain(recipe: Recipe) -> RowCost:
    """The chain as it is served, drawn for its reward alone."""
    return RowCost(_mean(recipe, float), 1)


def _served_chain(recipe: Recipe) -> RowCost:
    """A chain with gradient, its picture (with gradient where the reward is trained through), an online teacher's."""
    method, budgets, teacher = recipe.method, recipe.student.steps, recipe.teacher
    through_reward = isinstance(method, RatsMethod | RewardOnlyMethod)
    backprop_steps = method.backprop_steps if isinstance(method, RatsMethod | RewardOnlyMethod) else None
    online = teacher.source == "ema"
    rollout = teacher.steps * recipe.teacher_evaluations
    return RowCost(
        _mean(recipe, float) * _trained_evaluation(recipe) + online * rollout,
        FORWARD_AND_BACKWARD if through_reward else 1,
        backprop_steps or max(budgets),
    )


def _groups(recipe: Recipe, settings: PolicySettings) -> RowCost:
    """Groups of chains whose last step has no gradient, and the same steps once more under a reference."""
    budgets, size = recipe.student.steps, settings.group_size
    random = _mean(recipe, float) - 1
    reference = random if settings.kl_weight else 0
    trained = random * _trained_evaluation(recipe)
    return RowCost(size * (trained + 1 + reference), size, size * (max(budgets) - 1))


def _mean(recipe: Recipe, cost: Callable[[int], float]) -> float:
    """The mean of what a budget costs; budgets K are drawn in proportion to 1 / K."""
    budgets = recipe.student.steps
    return sum(cost(budget) / budget for budget in budgets) / sum(1 / budget for budget in budgets)


def _trained_evaluation(recipe: Recipe) -> int:
    """Forward passes that one evaluation with gradient costs."""
    return FORWARD_AND_BACKWARD + RECOMPUTED[recipe.training.recompute]
