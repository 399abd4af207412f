"""MLflow, which remembers runs, students and rewards: where it is, and what to say when it does not answer."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.shared.workspace import workspace
from rats_train.errors import RetryableError

TRACKER_VARIABLE = "MLFLOW_TRACKING_URI"
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


def tracker_place() -> str:
    """The address of the tracker, as messages may show it."""
    return without_password(_uri(None))


def without_password(uri: str) -> str:
    """The address without the user and password that it may carry, for messages and logs."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else uri


def _uri(root: Path | None) -> str:
    return os.environ.get(TRACKER_VARIABLE) or _local(root or workspace())


def _local(root: Path) -> str:
    root.mkdir(parents=True, exist_ok=True)
    # It says in two lines that it makes its tables, which is no news to a person.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    return f"sqlite:///{root / 'mlflow.db'}"
