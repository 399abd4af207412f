"""The rewards of a recipe as their kinds declare them, and whether one would drown another in the sum."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rats_train.config import Recipe
from rats_train.rewards.base import Traits
from rats_train.rewards.build import declared_traits

LOPSIDED = 10
"""How many times the share of another a trained reward's share of the sum may be."""


def rewards_view(recipe: Recipe) -> RenderableType:
    """A line a reward; below it, a warning where the trained ones are summed on scales that lie far apart.

    Raises:
        UserError: a reward's package cannot be imported.
        RewardAwayError: a reward's server does not answer.
    """
    table = Table("reward", "used to", "kind", "reads", "gradient", "values", "usual scale", "at once", box=None)
    shares: dict[str, float] = {}
    for use, specs in (("train", recipe.rewards.train), ("judge", recipe.rewards.heldout)):
        for spec in specs:
            traits = declared_traits(spec).rescaled(spec.statistics)
            scale = traits.usual_scale
            table.add_row(spec.name, use, spec.kind, *_declared(traits), "unknown" if scale is None else f"{scale:g}",
                          str(traits.batch_size or "any"))  # fmt: skip
            if use == "train" and scale is not None:
                shares[spec.name] = spec.weight * scale
    return Group(table, *_lopsided(shares))


def _declared(traits: Traits) -> tuple[str, str, str]:
    reads = ", ".join(sorted(traits.inputs)) + ("" if traits.pointwise else ", in groups")
    return reads, "yes" if traits.differentiable else "no", f"{traits.low:g} to {traits.high:g}"


def _lopsided(shares: dict[str, float]) -> list[Text]:
    if len(shares) < 2:
        return []
    least, most = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    times = shares[most] / shares[least]
    if times <= LOPSIDED:
        return []
    return [
        Text(
            f"\n{most} usually varies {times:.0f} times as much in the sum as {least}, which will hardly count: "
            "`rats reward register` measures the statistics that bring rewards to one scale, or set their weights.",
            "yellow",
        )
    ]
