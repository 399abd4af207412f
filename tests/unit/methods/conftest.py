"""A tiny recipe with its store and models, and what a method makes of it without an engine."""

import copy
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from rats_train.config import Recipe
from rats_train.methods.base import STUDENT, StepContext, StepResult
from rats_train.methods.build import build_method
from rats_train.models.load import load_model
from rats_train.models.sd3 import SD3
from rats_train.rewards.base import RewardModel
from rats_train.rewards.build import load_rewards
from rats_train.trajectories.generate import generate
from rats_train.trajectories.prompts import PromptBatch
from rats_train.trajectories.reader import TrajectoryStore

ROWS = [4, 0, 2]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, tiny_pipeline_dir: Path, tiny_reward_dir: Path) -> Recipe:
    prompts = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    prompts.write_text("two owls\na fox above a frog\none cat\n")
    return Recipe.model_validate(
        {
            "name": "tiny",
            "teacher": {"path": str(tiny_pipeline_dir), "steps": 10},
            "student": {"steps": [2, 3, 4]},
            "rewards": {
                "train": [
                    {"name": "one", "path": str(tiny_reward_dir)},
                    {"name": "other", "path": str(tiny_reward_dir), "weight": 0.5},
                ]
            },
            "trajectories": {"prompts": str(prompts), "count": 5, "batch_size": 5, "shard_size": 5},
        }
    )


@pytest.fixture(scope="module")
def store(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> TrajectoryStore:
    return TrajectoryStore(generate(recipe, tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def model(recipe: Recipe) -> SD3:
    return load_model(recipe.teacher.path)


@pytest.fixture(scope="module")
def rewards(recipe: Recipe) -> list[RewardModel]:
    return load_rewards(recipe.rewards.train)


def changed(recipe: Recipe, section: str, **values: object) -> Recipe:
    return Recipe.model_validate(recipe.model_dump() | {section: getattr(recipe, section).model_dump() | values})


def with_method(recipe: Recipe, name: str, **values: object) -> Recipe:
    """The recipe with the section of another method."""
    return Recipe.model_validate(recipe.model_dump() | {"method": {"name": name, **values}})


def moved(transformer: nn.Module, seed: int = 0) -> nn.Module:
    """A student that has already left its teacher."""
    student = copy.deepcopy(transformer)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in student.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=generator)
    return student


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}


class Case:
    """One recipe with everything a step needs."""

    def __init__(self, recipe: Recipe, model: SD3, rewards: list[RewardModel], batch: PromptBatch) -> None:
        self.recipe, self.model, self.rewards, self.batch = recipe, model, rewards, batch
        self.roles: dict[str, nn.Module] = {
            STUDENT: moved(model.transformer),
            "teacher": model.transformer,
            "reference": model.transformer,
            "fake_score": moved(model.transformer, seed=1),
        }

    def step(self, recipe: Recipe | None = None, step: int = 0, recompute: bool = False) -> StepResult:
        context = StepContext(step, self.model, self.rewards, self.roles, recompute)
        return build_method(recipe or self.recipe).step(self.batch, context)

    def gradients(self, recipe: Recipe | None = None, **options: int) -> Mapping[str, torch.Tensor]:
        self.roles[STUDENT].zero_grad()
        self.step(recipe, **options).losses[STUDENT].backward()
        return {name: gradient.clone() for name, gradient in gradients(self.roles[STUDENT]).items()}


@pytest.fixture
def case(recipe: Recipe, model: SD3, rewards: list[RewardModel], store: TrajectoryStore) -> Case:
    return Case(recipe, model, rewards, store.batch(ROWS))
