"""Step 7: serve the package with the real server and gateway, and ask it for a picture."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def smoke_test(
    key: str,
    student: dsl.Input[dsl.Model],
    package: dsl.Input[dsl.Model],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
) -> str:
    """Start Triton and the gateway, and compare a served picture with stock diffusers, pixel by pixel.

    Args:
        key: content key of this step, from prepare.
        student: the student that was packaged.
        package: the model repository.
        page: the served pictures.
        summary: how the endpoint behaved, to read.
        metrics: time to ready and time a picture.

    Returns:
        What the endpoint answered, as JSON.
    """
    from pathlib import Path

    from components.shared.step import Progress, run_step
    from components.shared.summary import log_metrics

    def work(folder: Path, progress: Progress) -> None:
        from components.smoke_test.work import smoke

        smoke(Path(package.path), Path(student.path), folder)

    folder = run_step("smoke_test", key, work, {"page.html": page.path, "summary.md": summary.path})
    log_metrics(metrics, folder)
    return (folder / "served.json").read_text()
