"""Step 2: roll the frozen teacher out once, store what the student is matched to, and score its results.

Several tasks draw one store, each some of its shards. A shard is drawn once, whoever asks for it: an interrupted
attempt, or one with another number of tasks, carries on at the first unfinished one, and one with a changed byte is
drawn again. Where only the rewards are others than before, as in a retraining on a new reward, the stored results are
scored by them, and nothing is drawn.
"""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def generate_trajectories(
    key: str,
    latents_key: str,
    shards: str,
    recipe: dsl.Input[dsl.Artifact],
    store: dsl.Output[dsl.Dataset],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Draw some shards of the teacher's trajectories; several tasks draw a store side by side.

    Args:
        key: content key of this step, from prepare.
        latents_key: content key of what the teacher draws, whatever rewards score it, from prepare.
        shards: first and last of the shards to draw, such as 0-3, from prepare.
        recipe: the resolved recipe.
        store: these shards and their scores, each with a note of its SHA-256, and the manifest of the store that
            they belong to.
        summary: what was drawn, to read.
        metrics: the teacher's mean rewards.
    """
    from pathlib import Path

    from components.shared.step import Progress, run_step
    from components.shared.summary import log_metrics

    def work(folder: Path, progress: Progress) -> None:
        from components.generate_trajectories.work import draw_part

        draw_part(Path(recipe.path), latents_key, shards, folder, progress)

    outputs = {"store": store.path, "summary.md": summary.path}
    folder = run_step("generate_trajectories", f"{key}-{shards}", work, outputs, resumes=True)
    log_metrics(metrics, folder)
