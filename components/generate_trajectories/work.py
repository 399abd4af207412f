"""The work of this step, as a function of paths."""

from pathlib import Path

from components.shared.process import limit_threads
from components.shared.step import Progress
from components.shared.summary import table, write_summary
from components.shared.workspace import publish, step_dir


def draw_part(recipe_path: Path, key: str, span: str, folder: Path, progress: Progress) -> None:
    """Fill ``folder/store`` with the shards of a span.

    They are drawn into a folder that all spans of the content ``key`` share, so that an interrupted attempt, or one
    that dealt the shards out otherwise, left what it finished.
    """
    limit_threads()
    from components.shared.reward_files import fetch_rewards
    from rats_train.config import load_recipe
    from rats_train.trajectories.generate import draw_shards
    from rats_train.trajectories.join import read_rewards
    from rats_train.trajectories.manifest import MANIFEST
    from rats_train.trajectories.shards import note_file, read_note, read_span, shard_file

    recipe = load_recipe(str(recipe_path))
    fetch_rewards(recipe)
    drawn, shards = step_dir("generate_trajectories", key), read_span(span)
    draw_shards(recipe, drawn, shards, lambda done, total, reward: progress(done, total, reward_teacher=reward))
    for name in (MANIFEST, *map(shard_file, shards), *map(note_file, shards)):
        publish(drawn / name, folder / "store" / name)
    entries = [entry for entry in (read_note(drawn, shard) for shard in shards) if entry]
    names = [f"reward_{spec.name}" for spec in recipe.rewards.train]
    means = dict(zip(names, read_rewards(drawn, entries).mean(axis=0).tolist(), strict=True))
    text = f"# {sum(entry.rows for entry in entries)} rollouts of {recipe.teacher.steps} steps"
    write_summary(folder, f"{text}\n\n{table(['reward', 'mean of the teacher'], list(means.items()))}", means)
