"""Step 5: decide, with reasons, whether the student may serve."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def promotion_gate(
    key: str,
    evaluation: dsl.Input[dsl.Artifact],
    summary: dsl.Output[dsl.Markdown],
) -> str:
    """Say "promote" or "reject" from the scorecard's intervals.

    Args:
        key: content key of this step, from prepare.
        evaluation: the folder with scorecard.json.
        summary: the verdict with its reasons, to read.

    Returns:
        "promote" or "reject": a token, because the local runner reads the text of a condition literally.
    """
    from pathlib import Path

    from components.shared.step import Progress, run_step

    def work(folder: Path, progress: Progress) -> None:
        from components.promotion_gate.work import decide

        decide(Path(evaluation.path), folder)

    folder = run_step("promotion_gate", key, work, {"summary.md": summary.path})
    return (folder / "verdict").read_text()
