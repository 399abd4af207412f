"""The work of this step, as a function of values."""

import os
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.shared.workspace import workspace
from rats_train.errors import RetryableError
from rats_train.files import atomic_write_text

TAG = "rats.retraining"


def note_end(reward: str, run_id: str, state: str, error: str, summary: Path) -> None:
    """Tag the version ``reward`` (such as hpsv2@3) with the end of its retraining, and write the summary.

    Raises:
        RetryableError: the tracker did not take it; the summary is written all the same.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace() / 'mlflow.db'}"
    name, _, version = reward.rpartition("@")
    ended = f"{state.lower()}, run {run_id}"
    link = f"{uri}/#/models/{name}/versions/{version}"
    shown = f"[{reward}]({link})" if uri.startswith("http") else reward
    lines = [f"# Retraining on {reward} {state.lower()}", f"Reward: {shown}. Pipeline run: {run_id}.", error]
    atomic_write_text(summary, "\n\n".join(filter(None, lines)) + "\n")
    try:
        MlflowClient(uri).set_model_version_tag(name, version, TAG, ended)
    except MlflowException as error_of_tracker:
        raise RetryableError(f"MLflow: {str(error_of_tracker).splitlines()[0]}") from error_of_tracker
