"""MLflow, which remembers runs, students and rewards: where it is, and what to say when it does not answer."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.shared.tracker_address import TRACKER_VARIABLE, tracker_uri, without_password
from components.shared.workspace import workspace
from rats_train.errors import RetryableError

KEY_TAG = "rats.key"


@contextmanager
def tracker(root: Path | None = None) -> Iterator[MlflowClient]:
    """A client of the tracker that ``MLFLOW_TRACKING_URI`` names, or of the one in the workspace ``root``.

    Raises:
        RetryableError: the tracker did not answer, or refused; from inside the block as well.
    """
    uri = _uri(root)
    try:
        yield MlflowClient(uri)
    except MlflowException as error:
        # MLflow's own message repeats the address that it called.
        shown = without_password(uri)
        raise RetryableError(f"MLflow at {shown}: {str(error).splitlines()[0].replace(uri, shown)}") from error


def keyed_run(client: MlflowClient, experiment: str, key: str, name: str, root: Path | None = None) -> str:
    """Id of the run that ``key`` has in an experiment: an interrupted attempt's, or a new one."""
    found = client.get_experiment_by_name(experiment)
    place = None if os.environ.get(TRACKER_VARIABLE) else ((root or workspace()) / "mlartifacts").as_uri()
    number = found.experiment_id if found else client.create_experiment(experiment, place)
    runs = client.search_runs([number], f"tags.`{KEY_TAG}` = '{key}'")
    run = runs[0] if runs else client.create_run(number, tags={KEY_TAG: key}, run_name=name)
    return run.info.run_id


def run_page(client: MlflowClient, run_id: str) -> str:
    """The page of a run in MLflow, for `components.shared.tracker_address.tracker_line`."""
    return f"experiments/{client.get_run(run_id).info.experiment_id}/runs/{run_id}"


def _uri(root: Path | None) -> str:
    if not os.environ.get(TRACKER_VARIABLE):
        (root or workspace()).mkdir(parents=True, exist_ok=True)
        # It says in two lines that it makes its tables, which is no news to a person.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    return tracker_uri(root)
