"""Last step of every pipeline, whatever became of the others: say how the run ended, where people look.

A run of the pipeline is a run of the experiment `rats-pipelines`, or where KFP's integration of MLflow made one, that
one. The version of a reward that started the run gets the tag `rats.retraining`.
"""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def report_end(
    status: dsl.PipelineTaskFinalStatus,
    recipe: str,
    run_id: str,
    summary: dsl.Output[dsl.Markdown],
    reward: str = "",
) -> None:
    """Note in MLflow how a run of the pipeline ended, and on the reward's version if one started it.

    Args:
        status: how the steps before ended, from KFP.
        recipe: of the run, as it was named.
        run_id: of this run of the pipeline.
        summary: the same, to read.
        reward: the version of a reward that started the run, such as hpsv2@3; empty where none did.
    """
    from pathlib import Path

    from components.shared.step import recorded

    with recorded("report_end") as record:
        from components.report_end.work import note_end

        text = status.error_message or ""
        record["headline"] = note_end(recipe, run_id, status.state, text, Path(summary.path), reward)
