"""Step 4: judge student and teacher on held-out prompts, and enter the result into MLflow.

`scorecard.json` carries the digest of the settings: only students with equal ones may be compared.

The result, the training curves and the student (as a version of the registered model `rats-<recipe>`) go into MLflow:
into the run that `MLFLOW_RUN_ID` names, otherwise into one of our own at `MLFLOW_TRACKING_URI` or in
`<workspace>/mlflow.db`: metrics by step and by budget, the pictures and the page, and two tables of MLflow's own, every
kind of prompt (`evaluation/categories.json`) and the worst prompts with their pictures (`evaluation/worst.json`). The
same content is entered once.
"""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def evaluate_rewards(
    key: str,
    recipe: dsl.Input[dsl.Artifact],
    student: dsl.Input[dsl.Model],
    log: dsl.Input[dsl.Artifact],
    evaluation: dsl.Output[dsl.Artifact],
    gallery: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Draw every arm over the same prompts and seeds, score the pictures, and compare them with paired intervals.

    Args:
        key: content key of this step, from prepare.
        recipe: the resolved recipe.
        student: the trained student.
        log: the training's log, for the tracker.
        evaluation: scorecard.json, every image's scores, and the pictures.
        gallery: the picture grid.
        summary: the comparisons, to read.
        metrics: the student's lead at each number of steps.
    """
    from pathlib import Path

    from components.shared.step import Progress, run_step
    from components.shared.summary import log_metrics

    def work(folder: Path, progress: Progress) -> None:
        from components.evaluate_rewards.work import evaluate_student

        evaluate_student(Path(recipe.path), Path(student.path), Path(log.path), folder, progress)

    outputs = {"evaluation": evaluation.path, "gallery.html": gallery.path, "summary.md": summary.path}
    folder = run_step("evaluate_rewards", key, work, outputs, resumes=True)
    log_metrics(metrics, folder)
