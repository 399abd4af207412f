"""What a training on many nodes asks of Kubernetes: a Kubeflow TrainJob, as a plain dictionary.

It names the runtime ``torch-distributed`` of Kubeflow Trainer 2.2 or later, which sets the ``PET_*`` variables that
torchrun reads. What the step itself was given (resources, tolerations, volumes, ...) reaches the pods of the job.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kfp.dsl import TaskConfig

from rats_train.errors import UserError

API_VERSION = "trainer.kubeflow.org/v1alpha1"
RUNTIME = "torch-distributed"
# Names that the runtime gives its replicated job and the container in it.
NODE = "node"
MANAGER = "rats.dev/train-student"
# Long enough to write a checkpoint of a large model.
GRACE_SECONDS = 120


@dataclass(frozen=True)
class Owner:
    """The pod that waits for the job: once it is deleted, Kubernetes deletes the job too."""

    name: str
    uid: str


def build_train_job(
    name: str, command: list[str], *, image: str, nodes: int, world_size: int, config: TaskConfig, owner: Owner | None
) -> dict[str, Any]:
    """The TrainJob that runs ``command`` under torchrun on ``nodes`` nodes, ``world_size`` processes in all.

    Raises:
        UserError: the processes do not spread evenly over the nodes, or a node has fewer GPUs than processes.
    """
    trainer = {
        "image": image,
        "numNodes": nodes,
        "numProcPerNode": processes_per_node(nodes, world_size, config),
        "command": ["torchrun", *command],
        "resourcesPerNode": config.resources,
        "env": config.env,
    }
    metadata: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/part-of": "rats"}}
    if owner:
        pod = {"apiVersion": "v1", "kind": "Pod", "name": owner.name, "uid": owner.uid}
        metadata["ownerReferences"] = [pod]
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainJob",
        "metadata": metadata,
        "spec": {
            "runtimeRef": {"name": RUNTIME},
            "trainer": _given(trainer),
            "runtimePatches": [_patch(_pod_spec(config))],
        },
    }


def processes_per_node(nodes: int, world_size: int, config: TaskConfig) -> int:
    """How many of ``world_size`` processes each of ``nodes`` runs.

    Raises:
        UserError: as `build_train_job`.
    """
    if nodes < 1 or world_size % nodes:
        raise UserError(
            f"training.world_size is {world_size}, which does not spread evenly over {nodes} nodes: make nodes a "
            "divisor of it, or change it with --set training.world_size=..."
        )
    processes, gpus = world_size // nodes, _gpus(config)
    if gpus is not None and gpus < processes:
        raise UserError(
            f"Each of {nodes} nodes runs {processes} of the {world_size} processes (training.world_size) and has "
            f"{gpus} GPUs: ask for {processes} GPUs a node, or for more nodes."
        )
    return processes


def check_shared(folder: Path, config: TaskConfig) -> None:
    """Refuse a work folder that the pods of the job would not see.

    Raises:
        UserError: it lies on no volume that is mounted into them.
    """
    mounts = [Path(mount["mountPath"]) for mount in config.volume_mounts or []]
    if not any(folder.is_relative_to(mount) for mount in mounts):
        raise UserError(
            f"The work folder {folder} lies on no volume that the pods of the training share (mounted: "
            f"{', '.join(map(str, mounts)) or 'none'}): mount a ReadWriteMany claim there (pipeline parameter "
            "workspace_claim), and let RATS_WORKSPACE name a folder on it."
        )


def _gpus(config: TaskConfig) -> int | None:
    """GPUs of one node, of whatever vendor; None where it has none and processes train on its cores."""
    limits = (config.resources or {}).get("limits") or {}
    return next((int(count) for name, count in limits.items() if name.endswith("/gpu") and int(count)), None)


def _pod_spec(config: TaskConfig) -> dict[str, Any]:
    container = _given({"name": NODE, "volumeMounts": config.volume_mounts})
    return _given(
        {
            "nodeSelector": config.node_selector,
            "tolerations": config.tolerations,
            "affinity": config.affinity,
            "volumes": config.volumes,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "containers": [container],
        }
    )


def _patch(pod_spec: dict[str, Any]) -> dict[str, Any]:
    """A patch of the runtime's pods, under the manager that owns it."""
    replicated = {"name": NODE, "template": {"spec": {"template": {"spec": pod_spec}}}}
    return {"manager": MANAGER, "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": [replicated]}}}}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """What is set: the API server refuses null where it expects a list or an object."""
    return {name: value for name, value in values.items() if value}
