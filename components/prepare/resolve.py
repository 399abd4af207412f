"""From a recipe as a person writes it to one that means the same everywhere and always: registered rewards pinned."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.shared.reward_files import fetch
from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.folder import REGISTERED

if TYPE_CHECKING:
    from components.shared.reward_registry import RewardRegistry, RewardVersion


def resolve(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with kind, digest and statistics of its registered rewards, whose files are then on this machine.

    Args:
        recipe: what `rats_train.config.load_recipe` gave; one that is resolved already stays as it is.
        root: workspace whose tracker is asked where the environment names none; by default the environment's.

    Raises:
        UserError: a registered reward does not exist, is named by an alias, or is not what the recipe says of it.
        RetryableError: the tracker did not answer.
    """
    specs = [*recipe.rewards.train, *recipe.rewards.heldout]
    if not any(_is_registered(spec) for spec in specs):
        return recipe
    from components.shared.reward_registry import RewardRegistry  # brings MLflow, seconds to import
    from components.shared.tracker import tracker

    with tracker(root) as client:
        registry = RewardRegistry(client, root)
        rewards = {
            part: [_pinned(spec, registry) for spec in getattr(recipe.rewards, part)] for part in ("train", "heldout")
        }
    return Recipe.model_validate(recipe.model_dump(mode="json") | {"rewards": rewards})


def _is_registered(spec: RewardSpec) -> bool:
    return spec.path is not None and REGISTERED.fullmatch(spec.path) is not None


def _pinned(spec: RewardSpec, registry: "RewardRegistry") -> dict[str, Any]:
    values = spec.model_dump(mode="json")
    if not _is_registered(spec):
        return values
    version = registry.find(str(spec.path))
    fetch(registry, version)
    return values | _facts(spec, version)


def _facts(spec: RewardSpec, version: "RewardVersion") -> dict[str, Any]:
    """Kind, digest and statistics of a version, where the recipe says nothing else.

    Raises:
        UserError: it says something else.
    """
    facts = {name: getattr(version, name) for name in ("kind", "digest", "statistics")}
    for name, fact in facts.items():
        said = getattr(spec, name)
        if name in spec.model_fields_set and said not in (None, fact):
            raise UserError(
                f"Reward {spec.name} says {name} {said}, and {version.path} is registered with {fact}: take that key "
                "away; a version brings it along."
            )
    return facts | {"statistics": version.statistics.model_dump()}
