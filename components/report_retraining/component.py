"""Last step of a retraining, whatever became of it: say so where the reward model is kept."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def report_retraining(
    status: dsl.PipelineTaskFinalStatus,
    reward: str,
    run_id: str,
    summary: dsl.Output[dsl.Markdown],
) -> None:
    """Note on the reward's version in MLflow how the retraining that it started ended.

    Args:
        status: how the steps before ended, from KFP.
        reward: the version, such as hpsv2@3.
        run_id: of this run of the pipeline.
        summary: the same, to read.
    """
    from pathlib import Path

    from components.shared.step import recorded

    with recorded("report_retraining"):
        from components.report_retraining.work import note_end

        note_end(reward, run_id, status.state, status.error_message or "", Path(summary.path))
