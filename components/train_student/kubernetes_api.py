"""The few calls to Kubernetes that a training on many nodes needs, and its refusals as errors that say what to do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from components.train_student.pods import Pod
from components.train_student.train_job import API_VERSION
from rats_train.errors import RetryableError, UserError

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
JOB_LABEL = "jobset.sigs.k8s.io/jobset-name"
_SECONDS_FOR_AN_ANSWER = 30


class TrainJobs:
    """The TrainJobs of one namespace, with their pods and logs.

    Every call raises UserError where Kubernetes refuses it, RetryableError where it does not answer.
    """

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api, self.namespace = api, namespace
        self._objects, self._core = client.CustomObjectsApi(api), client.CoreV1Api(api)
        group, version = API_VERSION.split("/")
        self._kind = {"group": group, "version": version, "namespace": namespace, "plural": "trainjobs"}

    @classmethod
    def in_cluster(cls) -> "TrainJobs":
        """Those of the namespace that this process's pod lives in."""
        config.load_incluster_config()
        return cls(client.ApiClient(), NAMESPACE_FILE.read_text().strip())

    def create(self, manifest: dict[str, Any]) -> bool:
        """Create the job; False where there is one of that name already."""
        with _refusals_explained():
            try:
                self._objects.create_namespaced_custom_object(**self._kind, body=manifest, **_patience())
            except ApiException as error:
                if error.status != 409:
                    raise
                return False
            return True

    def find(self, name: str) -> dict[str, Any] | None:
        """The job as it is now; None where there is none."""
        with _refusals_explained():
            try:
                found: dict[str, Any] = self._objects.get_namespaced_custom_object(
                    **self._kind, name=name, **_patience()
                )
            except ApiException as error:
                if error.status != 404:
                    raise
                return None
            return found

    def delete(self, name: str) -> None:
        """Ask for the job and its pods to be deleted; they are given time to save."""
        with _refusals_explained():
            try:
                self._objects.delete_namespaced_custom_object(
                    **self._kind, name=name, propagation_policy="Background", **_patience()
                )
            except ApiException as error:
                if error.status != 404:
                    raise

    def pods(self, name: str) -> list[Pod]:
        """The pods of the job, as JSON."""
        with _refusals_explained():
            found = self._core.list_namespaced_pod(self.namespace, label_selector=f"{JOB_LABEL}={name}", **_patience())
            pods: list[Pod] = self._api.sanitize_for_serialization(found.items)
            return pods

    def log_lines(self, pod: str) -> Iterator[tuple[str, str]]:
        """Time and text of every line of a pod's log, from the first, as they come, until it ends."""
        stream = self._core.read_namespaced_pod_log(
            pod, self.namespace, follow=True, timestamps=True, _preload_content=False
        )
        rest = b""
        for chunk in stream.stream(decode_content=True):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                time, _, text = line.decode(errors="replace").partition(" ")
                yield time, text


@contextmanager
def _refusals_explained() -> Iterator[None]:
    """Turn what the API server answers into our two kinds of error.

    Raises:
        UserError: it refused.
        RetryableError: it did not answer, or asks for patience.
    """
    try:
        yield
    except ApiException as error:
        if error.status is None or error.status == 429 or error.status >= 500:
            raise RetryableError(f"Kubernetes answers {error.status} {error.reason}.") from error
        said = _message(error)
        cures = {
            401: "the pod's service account is not accepted",
            403: "give the service account of the step the Role in infra/kubernetes/base/pipeline",
            404: "install Kubeflow Trainer 2.2 or later; `rats cluster check` names what else is missing",
        }
        raise UserError(
            f"Kubernetes refused ({error.status}): {said}; {cures.get(error.status, 'correct it')}."
        ) from error
    except HTTPError as error:
        raise RetryableError(f"Kubernetes does not answer ({type(error).__name__}).") from error


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"]).rstrip(".")
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def _patience() -> dict[str, int]:
    return {"_request_timeout": _SECONDS_FOR_AN_ANSWER}
