"""The work of this step, as a function of paths."""

from pathlib import Path

import pyarrow.parquet as pq

from components.shared.process import limit_threads
from components.shared.step import Progress
from components.shared.summary import table, write_summary


def generate_store(recipe_path: Path, folder: Path, progress: Progress) -> None:
    """Fill ``folder/store``, carrying on from the shards that an interrupted attempt finished."""
    limit_threads()
    from components.shared.reward_files import fetch_rewards
    from rats_train.config import load_recipe
    from rats_train.trajectories.generate import generate

    recipe = load_recipe(str(recipe_path))
    fetch_rewards(recipe)
    generate(recipe, folder / "store", lambda done, total, reward: progress(done, total, reward_teacher=reward))
    means = _mean_rewards(folder / "store")
    text = f"# {recipe.trajectories.count} rollouts of {recipe.teacher.steps} steps"
    write_summary(folder, f"{text}\n\n{table(['reward', 'mean of the teacher'], list(means.items()))}", means)


def _mean_rewards(store: Path) -> dict[str, float]:
    """Mean of every ``reward_*`` column of the store's index."""
    index = pq.read_table(store / "index.parquet").to_pydict()
    return {name: sum(values) / len(values) for name, values in index.items() if name.startswith("reward_")}
