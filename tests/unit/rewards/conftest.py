"""A tiny reward, at hand and behind HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rats_train.recipe_rewards import RewardSpec
from tests.reward_servers import served


@pytest.fixture(scope="module")
def spec(tiny_reward_dir: Path) -> RewardSpec:
    return RewardSpec(name="tiny", path=str(tiny_reward_dir))


@pytest.fixture(scope="module")
def url(spec: RewardSpec) -> Iterator[str]:
    with served(spec) as address:
        yield address
