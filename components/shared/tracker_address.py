"""Where MLflow is, and how a step's summary leads there; nothing heavy is imported to say so."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from components.shared.workspace import workspace

TRACKER_VARIABLE = "MLFLOW_TRACKING_URI"
# Set by KFP's own integration of MLflow in every task of a run.
RUN_ID_VARIABLE, EXPERIMENT_ID_VARIABLE = "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"


def tracker_uri(root: Path | None = None) -> str:
    """The tracker that ``MLFLOW_TRACKING_URI`` names, or the one in the workspace ``root``."""
    return os.environ.get(TRACKER_VARIABLE) or f"sqlite:///{(root or workspace()) / 'mlflow.db'}"


def tracker_place() -> str:
    """The address of the tracker, as messages may show it."""
    return without_password(tracker_uri())


def without_password(uri: str) -> str:
    """The address without the user and password that it may carry, for messages and logs."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else uri


def tracker_line(page: str = "") -> str:
    """One line of Markdown that leads to MLflow: to a ``page`` of it such as ``models/rats-emoji/versions/2``.

    Without one it leads to the run that KFP's integration made for the task, or to the front page. A tracker that is a
    file has no address: the line says how to look at it.
    """
    place = tracker_place()
    if not place.startswith("http"):
        return f"MLflow: `mlflow ui --backend-store-uri {place}`" + (f", page `#/{page}`." if page else ".")
    run, experiment = os.environ.get(RUN_ID_VARIABLE), os.environ.get(EXPERIMENT_ID_VARIABLE)
    page = page or (f"experiments/{experiment}/runs/{run}" if run and experiment else "")
    return f"[MLflow]({place.rstrip('/')}/#/{page})"
