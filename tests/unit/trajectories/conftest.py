from pathlib import Path

import pytest

from rats_train.config import Recipe

PROMPTS = ["two owls", "a fox above a frog", "one cat", "three boats", "a tree", "one owl and one cat"]


@pytest.fixture
def recipe(tmp_path: Path, tiny_pipeline_dir: Path, tiny_reward_dir: Path) -> Recipe:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(PROMPTS) + "\n")
    return Recipe.model_validate(
        {
            "name": "tiny",
            "teacher": {"path": str(tiny_pipeline_dir), "steps": 10},
            "student": {"steps": [2, 3]},
            "rewards": {"train": [{"name": "likeness", "path": str(tiny_reward_dir)}]},
            "trajectories": {"prompts": str(prompts), "count": 10, "batch_size": 3, "shard_size": 4},
        }
    )
