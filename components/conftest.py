"""What the tests of components share: the tiny models of all tests, a recipe over them, and places to put outputs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kfp import dsl

from components.shared.workspace import RUN_VARIABLE, RUNNER_VARIABLE, WORKSPACE_VARIABLE
from rats_train.config import load_recipe
from rats_train.sampling.teacher import load_teacher
from tests.conftest import tiny_pipeline_dir, tiny_reward_dir  # noqa: F401
from tests.tracked_students import empty_tracker  # noqa: F401
from tests.unit.evaluation.conftest import (  # noqa: F401
    build_card,
    evaluation_dir,
    guarded_dir,
    make_card,
    make_scores,
    training_dir,
)


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a run, as the local runner sets it up; returns the run's folder."""
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(tmp_path / "workspace"))
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path / "workspace" / "run"))
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    monkeypatch.setenv("RATS_KEYS", str(tmp_path / "keys"))
    return tmp_path / "workspace" / "run"


@pytest.fixture
def tracker(empty_tracker: Path, workspace: Path) -> str:  # noqa: F811
    """The workspace's tracker, empty; returns its address."""
    workspace.mkdir(parents=True)
    shutil.copy(empty_tracker, workspace.parent / "mlflow.db")
    return f"sqlite:///{workspace.parent}/mlflow.db"


@pytest.fixture(scope="session")
def tiny_recipe(tiny_pipeline_dir: Path, tiny_reward_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A recipe file over the tiny models: a few pictures, a few steps."""
    values = {
        "name": "tiny",
        "teacher": {"path": str(tiny_pipeline_dir), "steps": 4},
        "student": {"steps": [2, 3]},
        "rewards": {
            "train": [{"name": "a", "path": str(tiny_reward_dir)}],
            "heldout": [{"name": "b", "path": str(tiny_reward_dir)}],
        },
        "trajectories": {"count": 4, "batch_size": 2, "shard_size": 2},
        "training": {"steps": 2, "batch_size": 2, "checkpoint_every": 1},
        "evaluation": {
            "count": 2,
            "images_per_prompt": 2,
            "batch_size": 4,
            "bootstrap_samples": 100,
            "gallery_count": 1,
        },
    }
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def resolved(tiny_recipe: Path, tmp_path: Path) -> dsl.Artifact:
    """The recipe as the artifact that the prepare step hands on, a copy that a test may change."""
    return dsl.Artifact(uri=str(shutil.copy(tiny_recipe, tmp_path / "resolved.yaml")))


@pytest.fixture(scope="session")
def tiny_student(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student with its teacher's own weights."""
    recipe = load_recipe(str(tiny_recipe))
    path = tmp_path_factory.mktemp("student") / "student"
    load_teacher(recipe).save_student(
        path,
        None,
        terminal_sigma=recipe.student.terminal_sigma,
        steps=recipe.student.steps,
        guidance_scale=1.0,
    )
    return path


@pytest.fixture
def output(tmp_path: Path) -> Callable[[type[dsl.Artifact], str], dsl.Artifact]:
    """A function from an artifact type and a name to an output artifact of that type."""
    (tmp_path / "outputs").mkdir()
    return lambda kind, name: kind(uri=str(tmp_path / "outputs" / name))
