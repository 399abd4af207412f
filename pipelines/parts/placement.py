"""What a step needs in a cluster: the workspace that all steps share, the tracker's address, keys, GPUs.

None of it has an effect in KFP's local runner, so the pipeline object stays one.
"""

from kfp import kubernetes
from kfp.dsl import PipelineTask

from components.image import BASE_IMAGE, IMAGE_VARIABLE

# Where the image (infra/docker) lets RATS_WORKSPACE and RATS_KEYS point.
WORKSPACE, KEYS = "/workspace", "/keys"
ENVIRONMENT = "rats-environment"
# What the ConfigMap tells every step: where MLflow is, and which model repository serves.
TOLD = ("MLFLOW_TRACKING_URI", "RATS_MODELS")
SIGNING_KEY = "rats-signing-key"
_GPU = "nvidia.com/gpu"


def on_cluster(claim: str, *tasks: PipelineTask) -> None:
    """Let steps share the ReadWriteMany claim ``claim``, and know what the cluster tells them and their image."""
    for task in tasks:
        kubernetes.mount_pvc(task, pvc_name=claim, mount_path=WORKSPACE)
        kubernetes.use_config_map_as_env(task, ENVIRONMENT, {name: name for name in TOLD})
        task.set_env_variable(IMAGE_VARIABLE, BASE_IMAGE)


def with_gpus(gpus: str, memory: str, *tasks: PipelineTask) -> None:
    """Give steps ``gpus`` GPUs, possibly none, and ``memory`` such as 64Gi; let them run on tainted GPU nodes."""
    for task in tasks:
        # Inside a condition or a loop, KFP would not hand down parameters that only a task's resources ask for.
        task.register_pipeline_channels([gpus, memory])
        task.set_accelerator_type(_GPU).set_accelerator_limit(gpus).set_memory_limit(memory)
        kubernetes.add_toleration(task, key=_GPU, operator="Exists", effect="NoSchedule")
        # Data loaders and NCCL talk through shared memory, of which a container has 64 MiB by itself.
        kubernetes.empty_dir_mount(task, volume_name="shm", mount_path="/dev/shm", medium="Memory")


def with_signing_key(*tasks: PipelineTask) -> None:
    """Let steps that sign or check packages read the keys."""
    for task in tasks:
        kubernetes.use_secret_as_volume(task, SIGNING_KEY, KEYS)
