"""Step 3: train the few-step student on the teacher's trajectories and the reward."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def train_student(
    key: str,
    recipe: dsl.Input[dsl.Artifact],
    store: dsl.Input[dsl.Dataset],
    student: dsl.Output[dsl.Model],
    log: dsl.Output[dsl.Artifact],
    curves: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Train the student with DeepSpeed under torchrun; a killed attempt is resumed from its last checkpoint.

    Args:
        key: content key of this step, from prepare.
        recipe: the resolved recipe.
        store: the teacher's trajectories.
        student: a stock diffusers folder that carries its few-step schedule.
        log: losses, rewards and gate of every step and of every sample, the held-out watch, and alarms.
        curves: the same, as figures.
        summary: how the training ended, to read.
        metrics: final loss, rewards and gate.
    """
    from pathlib import Path

    from components.shared.step import Progress, run_step
    from components.shared.summary import log_metrics

    def work(folder: Path, progress: Progress) -> None:
        from components.train_student.work import train

        train(Path(recipe.path), Path(store.path), folder)

    outputs = {"student": student.path, "log": log.path, "curves.html": curves.path, "summary.md": summary.path}
    folder = run_step("train_student", key, work, outputs, resumes=True)
    log_metrics(metrics, folder)
