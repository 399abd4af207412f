"""The work of this step, as a function of values."""

import os
from pathlib import Path

from mlflow import MlflowClient

from components.shared.summary import publish_summary
from components.shared.tracker import keyed_run, run_page, tracker
from components.shared.tracker_address import RUN_ID_VARIABLE, tracker_line

EXPERIMENT = "rats-pipelines"
STATE_TAG, ERROR_TAG, RETRAINING_TAG = "rats.state", "rats.error", "rats.retraining"
# What MLflow calls the ends that KFP knows.
STATUS = {"SUCCEEDED": "FINISHED", "CANCELLED": "KILLED"}


def note_end(recipe: str, run_id: str, state: str, error: str, summary: Path, reward: str = "") -> str:
    """Enter the end of a pipeline's run into MLflow, and write the summary; returns its first line.

    The run of KFP's integration of MLflow is tagged and not ended; without one, the pipeline's run becomes a run of the
    experiment ``rats-pipelines``. The version ``reward`` (such as hpsv2@3) is tagged as well.

    Raises:
        RetryableError: the tracker did not take it; the summary is written all the same.
    """
    name = Path(recipe).stem
    line = f"{name} {state.lower()}" + (f", retrained on {reward}" if reward else "")
    text = "\n\n".join(filter(None, [f"# {line}", f"Pipeline run {run_id}.", error]))
    publish_summary(text, summary)
    with tracker() as client:
        page = _enter(client, name, run_id, state, error)
        if reward:
            model, _, version = reward.rpartition("@")
            client.set_model_version_tag(model, version, RETRAINING_TAG, f"{state.lower()}, run {run_id}")
            text = f"{text}\n\n{reward}: {tracker_line(f'models/{model}/versions/{version}')}"
    publish_summary(text, summary, page)
    return line


def _enter(client: MlflowClient, name: str, run_id: str, state: str, error: str) -> str:
    """Tag the run, or make and end one; returns its page."""
    given = os.environ.get(RUN_ID_VARIABLE)
    run = given or keyed_run(client, EXPERIMENT, run_id, f"{name}-{run_id[:8]}")
    for tag, value in ((STATE_TAG, state.lower()), (ERROR_TAG, error)):
        client.set_tag(run, tag, value)
    if not given:
        client.set_terminated(run, STATUS.get(state, "FAILED"))
    return run_page(client, run)
