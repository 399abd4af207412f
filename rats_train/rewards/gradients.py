"""Does every reward that a method goes back through have a gradient? Of a remote one, only its server knows."""

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.rewards.remote.client import RewardClient


def check_gradients(recipe: Recipe) -> None:
    """Ask the servers of the recipe's remote rewards, where its method needs their gradient.

    Raises:
        UserError: one has none; the recipe itself sees to all other kinds.
        RewardAwayError: a server does not answer.
    """
    if not recipe.method.needs_gradient:
        return
    for spec in recipe.rewards.train:
        if spec.kind != "remote" or spec.path is None:
            continue
        served = RewardClient(spec.path, spec.name).describe()
        if not served.differentiable:
            raise UserError(
                f"Method {recipe.method.name} goes back through the gradient of every reward, and {spec.name} at "
                f"{spec.path} (kind {served.kind}) has none: put it under rewards.heldout, or set method.name to "
                "rats_grpo or grpo."
            )
