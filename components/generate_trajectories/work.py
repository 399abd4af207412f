"""The work of this step, as a function of paths."""

from pathlib import Path

from components.shared.keys import LATENTS
from components.shared.process import limit_threads
from components.shared.step import Progress
from components.shared.summary import table, write_summary
from components.shared.workspace import publish, step_dir


def draw_part(recipe_path: Path, latents_key: str, span: str, folder: Path, progress: Progress) -> None:
    """Fill ``folder/store`` with the shards of a span and their scores.

    They are made in a folder that all spans and all rewards share for the same ``latents_key``, so that an interrupted
    attempt, one that dealt the shards out otherwise, or one with other rewards, left what it finished. A recipe whose
    teacher learns with its student stores none.
    """
    limit_threads()
    from components.shared.reward_files import fetch_rewards
    from rats_train.config import load_recipe
    from rats_train.trajectories.generate import draw_shards
    from rats_train.trajectories.join import read_rewards, reward_column
    from rats_train.trajectories.shards import note_file, read_span, scores_file, shard_file

    recipe = load_recipe(str(recipe_path))
    fetch_rewards(recipe)
    made, shards = step_dir(LATENTS, latents_key), read_span(span)
    plan = draw_shards(recipe, made, shards, lambda done, total, reward: progress(done, total, reward_teacher=reward))
    files = [name for shard in shards for name in (shard_file(shard), scores_file(shard, plan.rewards))]
    for name in (*files, *map(note_file, files)):
        publish(made / name, folder / "store" / name)
    plan.write(folder / "store")
    if not shards:
        write_summary(folder, "# No rollouts: teacher.source is ema, which rolls out in training", {})
        return
    scores = read_rewards(made, plan.rewards, shards)
    means = {reward_column(name): float(values.mean()) for name, values in scores.items()}
    text = f"# {len(next(iter(scores.values())))} rollouts of {recipe.teacher.steps} steps"
    write_summary(folder, f"{text}\n\n{table(['reward', 'mean of the teacher'], list(means.items()))}", means)
