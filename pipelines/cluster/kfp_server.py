"""A Kubeflow Pipelines server: the few calls that schedules and triggers need.

Pipelines travel whole, never as the id of an uploaded version: the server drops caching options of runs by version.
The address is ``--host``, or ``KF_PIPELINES_ENDPOINT``, or that of the cluster that this process runs in.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kfp import Client
from kfp_server_api import V2beta1RecurringRun
from kfp_server_api.exceptions import ApiException
from urllib3.exceptions import HTTPError

from rats_train.errors import RetryableError, UserError

PAGE = 100


class PipelinesServer:
    """Runs and recurring runs of one experiment.

    Every call raises UserError where the server refuses, RetryableError where it does not answer.
    """

    def __init__(self, host: str | None, experiment: str, namespace: str | None = None) -> None:
        self.host, self._namespace = host or "the cluster's own address", namespace
        with self._refusals_explained():
            self._client = Client(host=host)
            self._experiment = self._client.create_experiment(experiment, namespace=namespace).experiment_id

    def find_run(self, name: str) -> str | None:
        """Id of the run of that name; None where there is none."""
        with self._refusals_explained():
            found = self._client.list_runs(experiment_id=self._experiment, page_size=PAGE, filter=_named(name))
            return found.runs[0].run_id if found.runs else None

    def start_run(self, name: str, package: Path, parameters: Mapping[str, Any]) -> str:
        """Start a run of a compiled pipeline; returns its id."""
        with self._refusals_explained():
            made = self._client.run_pipeline(
                self._experiment, name, pipeline_package_path=str(package), params=dict(parameters)
            )
            return str(made.run_id)

    def recurring_runs(self) -> list[V2beta1RecurringRun]:
        """All recurring runs of the experiment."""
        found: list[V2beta1RecurringRun] = []
        token = ""
        with self._refusals_explained():
            while True:
                page = self._client.list_recurring_runs(
                    experiment_id=self._experiment, page_size=PAGE, page_token=token
                )
                found += page.recurring_runs or []
                token = page.next_page_token or ""
                if not token:
                    return found

    def create_recurring_run(
        self, name: str, description: str, cron: str, package: Path, parameters: Mapping[str, Any], enabled: bool
    ) -> None:
        """Start a pipeline by the clock: never two at once, and none for times that have passed."""
        with self._refusals_explained():
            self._client.create_recurring_run(
                self._experiment,
                name,
                description=description,
                cron_expression=cron,
                max_concurrency=1,
                no_catchup=True,
                params=dict(parameters),
                pipeline_package_path=str(package),
                enabled=enabled,
            )

    def delete_recurring_run(self, run_id: str) -> None:
        """End a recurring run; what it started goes on."""
        with self._refusals_explained():
            self._client.delete_recurring_run(run_id)

    @contextmanager
    def _refusals_explained(self) -> Iterator[None]:
        try:
            yield
        except ApiException as error:
            reason = f"Kubeflow Pipelines at {self.host} answers {error.status} {error.reason}"
            if not error.status or error.status == 429 or error.status >= 500:
                raise RetryableError(f"{reason}.") from error
            raise UserError(f"{reason}: {_message(error)}") from error
        except (HTTPError, TimeoutError) as error:
            raise RetryableError(
                f"Kubeflow Pipelines at {self.host} does not answer ({type(error).__name__}): is the address right?"
            ) from error


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return "see its log."
