"""Step 5: decide, with reasons, whether the student may serve.

[The rule](../../docs/promotion.md) in words. MLflow is asked for the champion in every run: whom a student has to
beat is not content. A champion that was evaluated with other settings is drawn again with these. The verdict becomes
a tag of the version and a file of its run, and the version gets the alias `challenger`.
"""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def promotion_gate(
    key: str,
    student_key: str,
    recipe: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    promotion: dsl.Output[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
    page: dsl.Output[dsl.HTML],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Judge the student against the champion and the full teacher, on what neither was trained on.

    Args:
        key: content key of this step, from prepare.
        student_key: content key of the evaluation, by which MLflow knows the student.
        recipe: the resolved recipe, by which a champion is drawn that was evaluated otherwise.
        evaluation: the folder with every image's scores.
        promotion: the verdict as JSON, and the versions that it is about.
        summary: the verdict with its reasons, to read.
        page: the same with the student's worst pictures.
        metrics: how many conditions are met, failed and open.

    Returns:
        "promote", "reject" or "need_more_samples": a token, because the local runner reads the text of a condition
        literally.
    """
    from pathlib import Path

    from components.shared.step import Progress, run_step
    from components.shared.summary import log_metrics

    def standing() -> str:
        from components.promotion_gate.standing import standing_of

        return standing_of(Path(recipe.path), student_key)

    def work(folder: Path, progress: Progress) -> None:
        from components.promotion_gate.work import decide

        decide(Path(recipe.path), Path(evaluation.path), student_key, folder, progress)

    outputs = {"promotion": promotion.path, "summary.md": summary.path, "verdict.html": page.path}
    folder = run_step("promotion_gate", key, work, outputs, resumes=True, also=standing)
    log_metrics(metrics, folder)
    return (folder / "verdict").read_text()
