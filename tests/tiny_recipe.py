"""A recipe over tiny random models that goes through the whole pipeline in a minute."""

from pathlib import Path

import yaml


def winning_recipe(teacher: Path, reward: Path, folder: Path) -> Path:
    """The file of a recipe that a random student can win: it is judged by the reward that it is trained on."""
    judge = {"path": str(reward)}
    values = {
        "name": "tiny",
        "teacher": {"path": str(teacher), "steps": 4},
        "student": {"steps": [2, 3]},
        "rewards": {"train": [judge | {"name": "a"}], "heldout": [judge | {"name": "b"}]},
        "method": {"alpha": 0.0},
        "trajectories": {"count": 8, "batch_size": 4, "shard_size": 4},
        "training": {"steps": 30, "batch_size": 4, "learning_rate": 1e-3, "checkpoint_every": 2},
        "evaluation": {
            "count": 16,
            "images_per_prompt": 2,
            "batch_size": 12,
            "bootstrap_samples": 200,
            "gallery_count": 2,
        },
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(values))
    return path
