"""Step 9: the page that shows what came out, self-contained."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def report(
    key: str,
    served: str,
    recipe: dsl.Input[dsl.Artifact],
    log: dsl.Input[dsl.Artifact],
    evaluation: dsl.Input[dsl.Artifact],
    promotion: dsl.Input[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Write report.html: pictures side by side, rewards with intervals, curves, timings, how to call the endpoint.

    Args:
        key: content key of this step, from prepare.
        served: what the endpoint answered, as JSON.
        recipe: the resolved recipe.
        log: the training's log.
        evaluation: scorecard, scores and pictures.
        promotion: the verdict.
        page: the report.
        summary: what it concludes, and the way to MLflow.
    """
    from pathlib import Path

    from components.shared.step import Progress, run_step

    def work(folder: Path, progress: Progress) -> None:
        from components.report.work import write_page

        write_page(Path(recipe.path), Path(log.path), Path(evaluation.path), Path(promotion.path), served, folder)

    def verdict() -> str:
        from rats_train.files import sha256_tree

        return sha256_tree(promotion.path)[:12]

    run_step("report", key, work, {"report.html": page.path, "summary.md": summary.path}, also=verdict)
