"""Do the rewards of a recipe fit what is asked of them? What servers and installed packages declare, only they know."""

from rats_train.config import Recipe
from rats_train.errors import UserError


def check_rewards(recipe: Recipe) -> None:
    """Look at what remote rewards and those of installed packages declare.

    Raises:
        UserError: a method goes back through a reward without gradient, or a reward is to judge by latents, which an
            evaluation does not keep.
        RewardAwayError: a server does not answer.
    """
    elsewhere = [spec for spec in (*recipe.rewards.train, *recipe.rewards.heldout) if spec.elsewhere]
    if not elsewhere:
        return
    from rats_train.rewards.build import declared_traits  # brings every kind's model library, seconds to import

    for spec in elsewhere:
        traits = declared_traits(spec)
        if spec in recipe.rewards.train and recipe.method.needs_gradient and not traits.differentiable:
            raise UserError(
                f"Method {recipe.method.name} goes back through the gradient of every reward, and {spec.name} "
                f"({spec.path or spec.kind}) has none: put it under rewards.heldout, or set method.name to rats_grpo "
                "or grpo."
            )
        if spec in recipe.rewards.heldout and "latents" in traits.inputs:
            raise UserError(
                f"Reward {spec.name} reads latents, and what is judged are pictures: put it under rewards.train."
            )
