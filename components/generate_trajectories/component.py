"""Step 2: roll the frozen teacher out once, and store what the student is matched to."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def generate_trajectories(
    key: str,
    recipe: dsl.Input[dsl.Artifact],
    store: dsl.Output[dsl.Dataset],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Draw the teacher's trajectories into a store of verified shards.

    Args:
        key: content key of this step, from prepare.
        recipe: the resolved recipe.
        store: shards, Parquet index and manifest.
        summary: what was drawn, to read.
        metrics: images drawn and the teacher's mean reward.
    """
    from pathlib import Path

    from components.shared.step import Progress, run_step
    from components.shared.summary import log_metrics

    def work(folder: Path, progress: Progress) -> None:
        from components.generate_trajectories.work import generate_store

        generate_store(Path(recipe.path), folder, progress)

    outputs = {"store": store.path, "summary.md": summary.path}
    folder = run_step("generate_trajectories", key, work, outputs, resumes=True)
    log_metrics(metrics, folder)
