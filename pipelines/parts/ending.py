"""The last task of every pipeline, for its exit handler."""

from kfp import dsl
from kfp.dsl import PipelineTask

from components.report_end.component import report_end
from pipelines.parts.placement import on_cluster


def reported_end(recipe: str, workspace_claim: str, **reward: str) -> PipelineTask:
    """The task that reports the end of a run of ``recipe``, and of the retraining on a ``reward`` that it was."""
    ended = report_end(recipe=recipe, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, **reward)
    # No run may take another's report for its own.
    ended.set_caching_options(enable_caching=False)
    on_cluster(workspace_claim, ended)
    return ended
