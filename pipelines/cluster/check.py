"""Has an existing cluster what RATS needs? Every finding comes with its cure. Nothing is changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from components.train_student.train_job import API_VERSION, RUNTIME
from pipelines.doctor.findings import Finding
from pipelines.parts.placement import ENVIRONMENT, SIGNING_KEY
from rats_train.errors import RetryableError

BASE = "apply infra/kubernetes (docs/production.md)"
WORKSPACE_CLAIM, ACCOUNT, ROLE, GPU = "rats-workspace", "pipeline-runner", "rats-train-jobs", "nvidia.com/gpu"
# What a namespace has to hold: kind in the API's path, name, what it is for.
NAMED = (
    ("configmaps", ENVIRONMENT, BASE),
    ("serviceaccounts", ACCOUNT, "install Kubeflow Pipelines, or bind the Role to the account that runs its steps"),
    ("configmaps", "rats-public-key", "make it from signing.pub.pem (docs/production.md)"),
    ("secrets", "rats-endpoint", "make it with the endpoint's API keys and its key for pictures (docs/production.md)"),
    ("secrets", SIGNING_KEY, "make it from signing.pem and signing.pub.pem (docs/production.md)"),
    ("secrets", "rats-mlflow", "make it with the addresses and keys of PostgreSQL and S3 (docs/production.md)"),
    ("secrets", "rats-webhook", "make it with the secret of MLflow's webhook (docs/production.md)"),
)


@dataclass(frozen=True)
class _Api:
    """Reads of the API server: the JSON at a path, or the status that it refused with."""

    api: client.ApiClient

    def get(self, path: str) -> Mapping[str, Any] | int:
        try:
            answer, _, _ = self.api.call_api(
                path, "GET", response_type="object", auth_settings=["BearerToken"], _request_timeout=20
            )
        except ApiException as error:
            return int(error.status or 0)
        except HTTPError as error:
            host = self.api.configuration.host
            raise RetryableError(f"The cluster at {host} does not answer: is your kubeconfig right?") from error
        return dict(answer)


def check_cluster(api: client.ApiClient, namespace: str) -> list[Finding]:
    """Look at everything that RATS needs of a cluster and of one namespace in it.

    Raises:
        RetryableError: the cluster does not answer.
    """
    reads = _Api(api)
    space = f"/api/v1/namespaces/{namespace}"
    checks: list[Callable[[], Finding]] = [
        lambda: _version(reads),
        lambda: _present(reads, f"namespace {namespace}", space, "make it, or name another with --namespace"),
        lambda: _group(
            reads, "Kubeflow Pipelines", "argoproj.io/v1alpha1", "workflows", "install Kubeflow Pipelines 2"
        ),
        lambda: _group(reads, "Kubeflow Trainer", API_VERSION, "trainjobs", "install Kubeflow Trainer 2.2 or later"),
        lambda: _present(
            reads,
            f"runtime {RUNTIME}",
            f"/apis/{API_VERSION}/clustertrainingruntimes/{RUNTIME}",
            "install the runtimes that come with Kubeflow Trainer",
        ),
        lambda: _group(reads, "KServe", "serving.kserve.io/v1beta1", "inferenceservices", "install KServe"),
        lambda: _claim(reads, f"{space}/persistentvolumeclaims/{WORKSPACE_CLAIM}"),
        *(
            partial(_present, reads, f"{kind[:-1]} {name}", f"{space}/{kind}/{name}", cure)
            for kind, name, cure in NAMED
        ),
        lambda: _present(
            reads,
            f"rolebinding {ROLE}",
            f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/{ROLE}",
            BASE,
        ),
        lambda: _gpus(reads),
    ]
    return [check() for check in checks]


def _version(reads: _Api) -> Finding:
    found = reads.get("/version")
    if isinstance(found, int):
        return Finding("kubernetes", f"answers {found}", "log in again: your kubeconfig is not accepted")
    return Finding("kubernetes", str(found.get("gitVersion", "unknown version")))


def _group(reads: _Api, name: str, version: str, resource: str, cure: str) -> Finding:
    """Whether the API server knows a resource in a version of its group."""
    found = reads.get(f"/apis/{version}")
    if isinstance(found, int):
        return Finding(name, _refused(found), cure)
    if resource not in {each["name"] for each in found.get("resources", [])}:
        return Finding(name, f"{version} knows no {resource}", cure)
    return Finding(name, f"{resource} in {version}")


def _present(reads: _Api, name: str, path: str, cure: str) -> Finding:
    found = reads.get(path)
    return Finding(name, _refused(found), cure) if isinstance(found, int) else Finding(name, "is there")


def _claim(reads: _Api, path: str) -> Finding:
    name, found = f"claim {WORKSPACE_CLAIM}", reads.get(path)
    if isinstance(found, int):
        return Finding(name, _refused(found), BASE)
    modes, phase = found["spec"]["accessModes"], found["status"]["phase"]
    if "ReadWriteMany" not in modes:
        return Finding(name, ", ".join(modes), "make it ReadWriteMany: steps and nodes of a training share it")
    if phase == "Lost":
        return Finding(name, phase, "its volume is gone: make the claim again")
    return Finding(name, f"{phase}, {found['spec']['resources']['requests']['storage']}")


def _gpus(reads: _Api) -> Finding:
    found = reads.get("/api/v1/nodes")
    if isinstance(found, int):
        return Finding("GPUs", f"not seen: listing nodes is {_refused(found)}")
    counts = [int(node["status"].get("allocatable", {}).get(GPU, 0)) for node in found["items"]]
    if not any(counts):
        return Finding("GPUs", "none", "install the NVIDIA device plugin, or train with gpus_per_node 0")
    return Finding("GPUs", f"{sum(counts)} on {sum(map(bool, counts))} of {len(counts)} nodes")


def _refused(status: int) -> str:
    return {401: "not allowed", 403: "not allowed", 404: "is not there"}.get(status, f"answers {status}")
