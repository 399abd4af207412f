"""The TrainJob that is asked for, and what its pods' JSON means."""

import pytest
from kfp.dsl import TaskConfig

from components.train_student.pods import raise_end, waiting_for
from components.train_student.train_job import NODE, Owner, build_train_job, check_shared
from rats_train.engine.failure import write_failure
from rats_train.errors import OutOfMemoryError, RetryableError, UserError
from tests.schemas import schema, violations

CONFIG = TaskConfig(
    affinity={"nodeAffinity": {}},
    tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    node_selector={"gpu": "h100"},
    env=[{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}],
    volumes=[{"name": "work", "persistentVolumeClaim": {"claimName": "rats"}}],
    volume_mounts=[{"name": "work", "mountPath": "/workspace"}],
    resources={"limits": {"nvidia.com/gpu": "8", "memory": "512Gi"}, "requests": {"cpu": "32"}},
)


def job(config=CONFIG, nodes=2, world_size=16, owner=None):
    return build_train_job(
        "rats-k1",
        ["-m", "train"],
        image="image@sha256:0",
        nodes=nodes,
        world_size=world_size,
        config=config,
        owner=owner,
    )


@pytest.mark.parametrize(("config", "nodes", "world"), [(CONFIG, 2, 16), (TaskConfig(), 1, 1)])
def test_kubernetes_knows_every_field(config, nodes, world):
    assert violations(job(config, nodes, world, Owner("step", "u1")), schema("trainjobs")) == []


def test_a_planted_field_would_be_found():
    wrong = job()
    wrong["spec"]["podSpecOverrides"] = []
    wrong["spec"]["trainer"]["numNodes"] = "two"
    found = violations(wrong, schema("trainjobs"))
    assert any("podSpecOverrides" in each for each in found)
    assert any("spec.trainer.numNodes" in each for each in found)


def test_what_the_task_was_given_reaches_the_pods():
    spec = job(owner=Owner("step", "u1"))["spec"]
    trainer = spec["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 8)
    assert (trainer["resourcesPerNode"], trainer["env"]) == (CONFIG.resources, CONFIG.env)
    [replicated] = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = replicated["template"]["spec"]["template"]["spec"]
    assert replicated["name"] == NODE
    assert pod["containers"] == [{"name": NODE, "volumeMounts": CONFIG.volume_mounts}]
    for name, value in {
        "tolerations": CONFIG.tolerations,
        "nodeSelector": CONFIG.node_selector,
        "affinity": CONFIG.affinity,
        "volumes": CONFIG.volumes,
    }.items():
        assert pod[name] == value
    assert job(owner=Owner("step", "u1"))["metadata"]["ownerReferences"][0]["uid"] == "u1"


def test_nothing_is_null_where_the_task_was_given_nothing():
    assert "None" not in str(job(TaskConfig(), 1, 1))


@pytest.mark.parametrize(
    ("nodes", "world_size", "said"),
    [(3, 16, "does not spread evenly over 3 nodes"), (0, 16, "over 0 nodes"), (1, 16, "16 of the 16 .* has 8 GPUs")],
)
def test_processes_that_do_not_fit_are_refused(nodes, world_size, said):
    with pytest.raises(UserError, match=said):
        job(nodes=nodes, world_size=world_size)


def test_a_folder_that_the_pods_would_not_see_is_refused(tmp_path):
    check_shared(tmp_path / "work", TaskConfig(volume_mounts=[{"name": "w", "mountPath": str(tmp_path)}]))
    with pytest.raises(UserError, match="mounted: /workspace"):
        check_shared(tmp_path / "work", CONFIG)
    with pytest.raises(UserError, match="mounted: none"):
        check_shared(tmp_path / "work", TaskConfig())


def pod(name="p", reason=None, code=None, condition=None, state="state", **status):
    if code is not None:
        status["containerStatuses"] = [{"name": NODE, state: {"terminated": {"reason": reason, "exitCode": code}}}]
    if condition:
        status["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": condition}]
    return {"metadata": {"name": name}, "status": status}


OOM = pod("small", "OOMKilled", 137)
RESTARTED_OOM = pod("small", "OOMKilled", 137, state="lastState")
PREEMPTED = pod("spot", "Error", 143, condition="PreemptionByScheduler")
EVICTED = {"metadata": {"name": "full"}, "status": {"reason": "Evicted"}}
BROKEN = pod("early", "Error", 127)
KILLED = pod("lost", "Error", 137)
VANISHED = pod("gone", phase="Running")


@pytest.mark.parametrize(
    ("pods", "noted", "kind", "said"),
    [
        ([OOM, BROKEN], None, OutOfMemoryError, "small was killed because it took more memory"),
        ([RESTARTED_OOM], 1, OutOfMemoryError, "memory_per_node"),
        ([PREEMPTED, BROKEN], 1, RetryableError, r"spot was taken off its node \(PreemptionByScheduler\)"),
        ([EVICTED], None, RetryableError, "Evicted"),
        ([BROKEN], 2, UserError, "what a worker noted"),
        ([BROKEN], 3, OutOfMemoryError, "what a worker noted"),
        ([BROKEN], 1, RuntimeError, "what a worker noted"),
        ([BROKEN], None, RuntimeError, "early ended with status 127"),
        ([KILLED], None, RetryableError, "killed from outside"),
        ([VANISHED], None, RetryableError, "killed from outside"),
        ([], None, RetryableError, "jobset failed"),
    ],
)
def test_why_it_ended(tmp_path, pods, noted, kind, said):
    if noted:
        write_failure(tmp_path, noted, "what a worker noted")
    with pytest.raises(kind, match=said) as caught:
        raise_end(pods, tmp_path, "jobset failed")
    assert type(caught.value) is kind


def test_what_pods_wait_for_is_said():
    unscheduled = pod()
    unscheduled["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "message": "0/3 nodes: 3 Insufficient nvidia.com/gpu.",
        }
    ]
    pulling = pod()
    pulling["status"]["containerStatuses"] = [{"name": NODE, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    assert waiting_for([unscheduled, pulling]) == ("0/3 nodes: 3 Insufficient nvidia.com/gpu.; ImagePullBackOff")
    assert waiting_for([pod(phase="Running")]) == ""
