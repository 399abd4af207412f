"""From a recipe as a person writes it to one that means the same everywhere and always: its rewards pinned."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.shared.reward_files import fetch
from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.hub import is_hub_id
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.folder import REGISTERED, folder_digest

if TYPE_CHECKING:
    from components.shared.reward_registry import RewardRegistry, RewardVersion


def resolve(recipe: Recipe, root: Path | None = None) -> Recipe:
    """The recipe with kind, digest and statistics of its registered rewards, whose files are then on this machine.

    A reward of the hub gets the digest of what the hub gives today: a branch moves, and a later step or another machine
    refuses to go on with other weights.

    Args:
        recipe: what `rats_train.config.load_recipe` gave; one that is resolved already stays as it is.
        root: workspace whose tracker is asked where the environment names none; by default the environment's.

    Raises:
        UserError: a registered reward does not exist, is named by an alias, or is not what the recipe says of it.
        RetryableError: the tracker did not answer.
    """
    if not any(_is_registered(spec) for spec in (*recipe.rewards.train, *recipe.rewards.heldout)):
        return _with_rewards(recipe, _pinned_from_hub)
    from components.shared.reward_registry import RewardRegistry  # brings MLflow, seconds to import
    from components.shared.tracker import tracker

    with tracker(root) as client:
        registry = RewardRegistry(client, root)
        return _with_rewards(
            recipe, lambda spec: _pinned(spec, registry) if _is_registered(spec) else _pinned_from_hub(spec)
        )


def _with_rewards(recipe: Recipe, pin: Callable[[RewardSpec], dict[str, Any]]) -> Recipe:
    """The recipe with what ``pin`` says of each reward."""
    rewards = recipe.rewards.model_dump(mode="json")
    for part in ("train", "heldout"):
        rewards[part] = [spec.model_dump(mode="json") | pin(spec) for spec in getattr(recipe.rewards, part)]
    return Recipe.model_validate(recipe.model_dump(mode="json") | {"rewards": rewards})


def _pinned_from_hub(spec: RewardSpec) -> dict[str, Any]:
    unpinned = spec.path is not None and spec.digest is None and spec.kind != "remote" and is_hub_id(spec.path)
    return {"digest": folder_digest(spec)} if unpinned else {}


def _is_registered(spec: RewardSpec) -> bool:
    return spec.path is not None and REGISTERED.fullmatch(spec.path) is not None


def _pinned(spec: RewardSpec, registry: "RewardRegistry") -> dict[str, Any]:
    version = registry.find(str(spec.path))
    fetch(registry, version)
    return _facts(spec, version)


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
