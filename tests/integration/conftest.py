"""A tiny recipe with its store, ready to train."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch.distributed as dist

from rats_train.config import Recipe
from rats_train.engine.ranks import Ranks, join_ranks
from rats_train.trajectories.generate import generate

PROMPTS = ["two owls", "a fox above a frog", "one cat", "three boats", "a tree", "one owl and one cat"]


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory, tiny_pipeline_dir: Path, tiny_reward_dir: Path) -> Recipe:
    prompts = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    prompts.write_text("\n".join(PROMPTS) + "\n")
    return Recipe.model_validate(
        {
            "name": "tiny",
            "teacher": {"path": str(tiny_pipeline_dir), "steps": 10},
            "student": {"steps": [2, 3]},
            "rewards": {"train": [{"name": "likeness", "path": str(tiny_reward_dir)}]},
            "trajectories": {"prompts": str(prompts), "count": 10, "batch_size": 5, "shard_size": 5},
            "training": {
                "steps": 6,
                "batch_size": 4,
                "learning_rate": 1e-3,
                "checkpoint_every": 2,
                "log_every": 1,
                "watch_every": 0,
            },
        }
    )


@pytest.fixture(scope="session")
def tiny_store(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tiny_recipe, tmp_path_factory.mktemp("data") / "store")


def changed(recipe: Recipe, section: str, **values: object) -> Recipe:
    """The recipe with some values of one section replaced; validated as a whole."""
    dumped = recipe.model_dump()
    dumped[section] |= values
    return Recipe.model_validate(dumped)


def with_method(recipe: Recipe, name: str, **values: object) -> Recipe:
    """The recipe with the section of another method."""
    return Recipe.model_validate(recipe.model_dump() | {"method": {"name": name, **values}})


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """This process as the only rank of a run."""
    with socket.socket() as free, pytest.MonkeyPatch.context() as patch:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", **address}.items():
            patch.setenv(name, value)
        free.close()
        yield join_ranks()
        dist.destroy_process_group()
