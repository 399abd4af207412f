"""Kinds of reward that installed packages bring, named under the entry point ``rats_train.rewards``."""

import inspect
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast

from rats_train.errors import UserError
from rats_train.recipe_rewards import ENTRY_POINT, Statistics
from rats_train.rewards.base import Reward, Traits


class RewardClass(Protocol):
    """What an entry point names: a `Reward` that is made from the folder its recipe names, if it names one."""

    traits: Traits

    def __call__(self, path: Path | None, name: str, weight: float, scale: Statistics | None, /) -> Reward:
        """The reward of a recipe."""
        ...


@cache
def plugged_reward(kind: str) -> RewardClass:
    """The class of a kind that is none of ours.

    Raises:
        UserError: its package cannot be imported, or names something else.
    """
    (point,) = [point for point in entry_points(group=ENTRY_POINT) if point.name == kind]
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise UserError(f"The kind {kind} of reward is {point.value}, which cannot be imported ({error}).") from error
    if not (isinstance(found, type) and issubclass(found, Reward)):
        raise UserError(f"The kind {kind} of reward is {point.value}, which is no rats_train.rewards.base.Reward.")
    return cast(RewardClass, found)


def plugged_source(kind: str) -> Path:
    """The file of its class, which its scores depend on."""
    return Path(inspect.getfile(cast(type, plugged_reward(kind))))
