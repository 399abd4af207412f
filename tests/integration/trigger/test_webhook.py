"""A real MLflow server and its own webhook, the real trigger and `rats reward register`: a new version is one run.

Kubeflow Pipelines alone is a stand-in. Its looks are an hour apart, so that only the webhook can have told the trigger.
"""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest
import yaml
from cryptography.fernet import Fernet
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

from pipelines.register_reward import register_reward
from tests.fake_kfp import FakeKfp
from tests.unit.components.conftest import other_reward, pictures  # noqa: F401

SECRET, ANOTHER = "the secret of the webhook", "the secret of somebody else"
CREATED = [WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)]
TOLD = {
    "poll_seconds": 3600,
    "retrain": [{"reward": "tiny", "recipe": "emoji", "overrides": ['rewards.train=[{name: a, path: "tiny@1"}]']}],
}
# As infra/kubernetes/base/mlflow has it: plain http, on a private address. What it knows of webhooks it keeps a minute.
SERVER = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "1",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, done, process):
    deadline = time.monotonic() + 240
    while not done():
        assert process.poll() is None, f"{what} ended"
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def healthy(url):
    def answers():
        try:
            return httpx.get(url).status_code == 200
        except httpx.TransportError:
            return False

    return answers


@contextmanager
def service(module, arguments, health, log, **environment):
    """``python -m module``, once it is healthy, with what it says in the file ``log``."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with log.open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=os.environ | environment)
    try:
        wait_for(module, healthy(health), process)
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def mlflow_url(tmp_path, monkeypatch):
    url = f"http://127.0.0.1:{(port := free_port())}"
    store = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/mlflow.db",
        "--artifacts-destination",
        tmp_path / "artifacts",
    ]
    arguments = ["server", "--port", port, "--workers", 1, *store]
    key = {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode()}
    with service("mlflow", arguments, f"{url}/health", tmp_path / "mlflow.log", **SERVER, **key):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        monkeypatch.setenv("RATS_CACHE", str(tmp_path / "cache"))
        yield url


@pytest.mark.slow
def test_a_new_version_of_a_reward_starts_one_run(mlflow_url, tmp_path, tiny_reward_dir, other_reward, pictures):  # noqa: F811
    def register(folder):
        how = {"kind": "clip", "licence": "MIT", "pictures": str(pictures), "root": tmp_path}
        return register_reward("tiny", str(folder), **how)[0].path

    log, port = tmp_path / "trigger.log", free_port()
    (tmp_path / "trigger.yaml").write_text(yaml.safe_dump(TOLD))
    place = f"http://127.0.0.1:{port}"
    assert register(tiny_reward_dir) == "tiny@1"
    with FakeKfp() as kfp:
        state = ["--state", tmp_path / "trigger.db", "--kfp", kfp.url, "--port", port]
        arguments = ["trigger", "serve", tmp_path / "trigger.yaml", *state]
        trigger = ("pipelines.cli", arguments, f"{place}/healthz", log)
        with service(*trigger, RATS_WEBHOOK_SECRET=SECRET) as process:
            for name, secret in (("forged", ANOTHER), ("rats", SECRET)):
                MlflowClient().create_webhook(name, f"{place}/webhook", CREATED, secret=secret)
            time.sleep(1)
            assert register(other_reward) == "tiny@2"
            wait_for("the run", lambda: kfp.things["runs"], process)
            wait_for("the forged one", lambda: "signature does not match" in log.read_text(), process)
        with service(*trigger, RATS_WEBHOOK_SECRET=SECRET):
            time.sleep(2)  # its first look comes at once, and finds the version as well
        [run] = kfp.things["runs"]
    assert run["display_name"] == "retrain on tiny@2"
    assert run["runtime_config"]["parameters"]["reward"] == "tiny@2"
