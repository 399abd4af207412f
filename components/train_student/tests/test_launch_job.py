"""A training as a TrainJob, against a stand-in for the cluster (`tests.fake_kubernetes`), whose pods are processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kfp import dsl
from kubernetes import client

from components.shared.process import CLUSTER_VARIABLE
from components.shared.workspace import step_dir
from components.train_student.component import train_student
from components.train_student.kubernetes_api import TrainJobs
from components.train_student.launch_job import FRUITLESS_ATTEMPTS, StoppedError, run_job
from components.train_student.train_job import build_train_job
from rats_train.config import load_recipe
from rats_train.errors import OutOfMemoryError, RetryableError, UserError
from rats_train.files import read_json
from rats_train.trajectories.generate import generate
from tests.fake_kubernetes import FakeKubernetes
from tests.schemas import FOLDER, schema


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "pods").mkdir()
    described = schema("trainjobs") if FOLDER.is_dir() else None
    with FakeKubernetes(tmp_path / "pods", described) as running:
        yield running


@pytest.fixture
def jobs(cluster):
    return connected(cluster.url)


def connected(url):
    configuration = client.Configuration(host=url)
    configuration.retries = False
    return TrainJobs(client.ApiClient(configuration), "team")


def job(program, nodes=1, name="rats-k1"):
    """A TrainJob whose pods run a small program; it finds its folder as the first argument."""
    manifest = build_train_job(
        name, [], image="image@sha256:0", nodes=nodes, world_size=nodes, config=dsl.TaskConfig(), owner=None
    )
    manifest["spec"]["trainer"]["command"] = [sys.executable, "-c", program]
    return manifest


def run(jobs, manifest, out):
    out.mkdir(exist_ok=True)
    run_job(jobs, manifest, out, every=0.1, pause=0.1)


def once(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def test_logs_of_all_pods_are_shown_and_kept_and_the_job_is_deleted(cluster, jobs, tmp_path, capsys):
    run(jobs, job("import os; print('node', os.environ['PET_NODE_RANK'], 'of', os.environ['PET_NNODES'])", 2), tmp_path)
    log = (tmp_path / "train.log").read_text().splitlines()
    assert sorted(log) == ["rats-k1-node-0-0 node 0 of 2", "rats-k1-node-0-1 node 1 of 2"]
    assert "rats-k1-node-0-1 node 1 of 2" in capsys.readouterr().out
    once(lambda: not cluster.jobs)


def test_preempted_again_and_again_it_goes_on_while_there_is_progress(cluster, jobs, tmp_path):
    """Each attempt makes one step and is taken away; the fifth reaches its end."""
    out = tmp_path / "out"
    program = f"""
import json, pathlib, time
progress = pathlib.Path({str(out)!r}) / "progress.json"
step = json.loads(progress.read_text())["step"] + 1 if progress.exists() else 1
progress.write_text(json.dumps(dict(step=step, steps=5, reward_student=None, reward_teacher=None)))
time.sleep(0 if step == 5 else 60)
"""

    def preempt():
        for step in range(1, 5):
            once(lambda step=step: (out / "progress.json").exists() and step_of(out) == step)
            cluster.take_away("rats-k1-node-0-0", type="DisruptionTarget", reason="PreemptionByScheduler")

    def step_of(folder):
        try:
            return read_json(folder / "progress.json")["step"]
        except UserError:
            return 0

    threading.Thread(target=preempt, daemon=True).start()
    run(jobs, job(program), out)
    assert len(cluster.created) == 5


def test_nodes_that_never_last_are_given_up(cluster, jobs, tmp_path):
    with pytest.raises(RetryableError, match="killed from outside"):
        run(jobs, job("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), tmp_path / "out")
    assert len(cluster.created) == FRUITLESS_ATTEMPTS


@pytest.mark.parametrize(
    ("program", "kind"), [("raise SystemExit(1)", RuntimeError), ("import time; time.sleep(60)", OutOfMemoryError)]
)
def test_a_retry_that_would_not_help_is_not_made(cluster, jobs, tmp_path, program, kind):
    def kill():
        once(lambda: "rats-k1-node-0-0" in cluster.processes)
        cluster.take_away("rats-k1-node-0-0", signal=9, reason="OOMKilled")

    if kind is OutOfMemoryError:
        threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(kind):
        run(jobs, job(program), tmp_path / "out")
    assert len(cluster.created) == 1


def test_a_job_that_is_deleted_by_hand_does_not_come_back(cluster, jobs, tmp_path):
    def delete():
        once(lambda: "rats-k1" in cluster.jobs)
        with cluster.lock:
            cluster.delete("rats-k1")

    threading.Thread(target=delete, daemon=True).start()
    with pytest.raises(StoppedError, match="was deleted"):
        run(jobs, job("import time; time.sleep(60)"), tmp_path / "out")
    assert len(cluster.created) == 1


def test_an_outage_of_the_api_server_does_not_end_a_training(cluster, jobs, tmp_path):
    def fail():
        once(lambda: cluster.processes)
        cluster.outage = True
        time.sleep(1)
        cluster.outage = False

    threading.Thread(target=fail, daemon=True).start()
    run(jobs, job("import time; time.sleep(1)"), tmp_path / "out")
    assert len(cluster.created) == 1


def test_a_refusal_names_its_cure(cluster, jobs, tmp_path):
    cluster.forbidden = True
    with pytest.raises(UserError, match=r"refused \(403\).*Role in infra"):
        run(jobs, job(""), tmp_path / "out")


STEP = """
import sys
from pathlib import Path
from kfp.dsl import TaskConfig
from kubernetes import client
from components.train_student.kubernetes_api import TrainJobs
from components.train_student.launch_job import run_job
from components.train_student.train_job import build_train_job
from rats_train.errors import RetryableError

jobs = TrainJobs(client.ApiClient(client.Configuration(host=sys.argv[1])), "team")
job = build_train_job("rats-k1", [], image="i", nodes=1, world_size=1, config=TaskConfig(), owner=None)
job["spec"]["trainer"]["command"] = ["sleep", "600"]
try:
    run_job(jobs, job, Path(sys.argv[2]), every=0.1)
except RetryableError as error:
    print(error)
    sys.exit(75)
"""


def step(cluster, out):
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-c", STEP, cluster.url, str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "RATS_SCHEMAS": str(FOLDER)})


def test_a_terminated_run_deletes_its_job(cluster, tmp_path):
    process = step(cluster, tmp_path / "out")
    once(lambda: cluster.processes)
    # So that the signal comes while an answer is waited for, where nothing may mistake it for an outage.
    cluster.delay = 1.0
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 75
    assert "the run was terminated" in said
    once(lambda: not cluster.jobs)
    assert cluster.processes["rats-k1-node-0-0"].poll() is not None


def test_a_step_that_was_killed_finds_its_job_again(cluster, jobs, tmp_path):
    process = step(cluster, tmp_path / "out")
    once(lambda: cluster.processes)
    process.kill()
    process.wait()
    first = cluster.processes["rats-k1-node-0-0"]
    assert first.poll() is None
    threading.Timer(0.5, first.terminate).start()
    with pytest.raises(RetryableError):
        run_job(jobs, job("raise SystemExit(143)"), tmp_path / "out", every=0.1, pause=0)
    assert ("POST", "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs") in cluster.requests
    # The first attempt's job, which ended while the second attempt watched it, and the attempts after it.
    assert len(cluster.created) == FRUITLESS_ATTEMPTS


def train(resolved, store, output, key, config):
    artifacts = [
        output(kind, f"{key}-{name}")
        for kind, name in [
            (dsl.Model, "student"),
            (dsl.Artifact, "log"),
            (dsl.HTML, "curves"),
            (dsl.Markdown, "summary"),
            (dsl.Metrics, "metrics"),
        ]
    ]
    train_student.python_func(key, resolved, [dsl.Dataset(uri=str(store))], config, *artifacts)
    return Path(artifacts[0].path), artifacts[-1].metadata["final_loss"]


@pytest.mark.slow
def test_the_component_trains_as_a_job_what_it_trains_by_itself(
    cluster, jobs, tiny_recipe, resolved, output, tmp_path, monkeypatch
):
    """The whole step with the real torchrun and DeepSpeed in the pod; only the cluster is played."""
    store = tmp_path / "store"
    generate(load_recipe(str(tiny_recipe)), store)
    _, by_itself = train(resolved, store, output, "laptop", dsl.TaskConfig())
    assert not cluster.created

    monkeypatch.setenv(CLUSTER_VARIABLE, "10.0.0.1")
    monkeypatch.setattr(TrainJobs, "in_cluster", classmethod(lambda cls: jobs))
    mount = {"name": "work", "mountPath": str(tmp_path)}
    student, as_a_job = train(resolved, store, output, "cluster", dsl.TaskConfig(volume_mounts=[mount]))
    assert len(cluster.created) == 1
    assert (student / "model_index.json").is_file()
    assert as_a_job == by_itself
    folder = step_dir("train_student", "cluster")
    assert not (folder / "inputs").exists()
    assert "step 2" in (folder / "train.log").read_text()
