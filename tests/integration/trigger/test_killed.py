"""The service is killed again and again while a thousand deliveries of ten versions come in: ten runs."""

import json
import random
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from pipelines.compiled import compile_pipeline
from pipelines.trigger.signature import sign
from rats_train.files import write_json
from tests.fake_kfp import FakeKfp
from tests.integration.trigger.service import SECRET

VERSIONS = range(2, 12)
DELIVERIES, KILLS = 1000, 4


class Service:
    """The process, and deliveries to it."""

    def __init__(self, folder, kfp):
        self.folder, self.kfp = folder, kfp
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}")

    def start(self):
        command = [sys.executable, "-m", "tests.integration.trigger.service", self.folder, self.kfp.url, self.port]
        self.process = subprocess.Popen([str(each) for each in command])
        deadline = time.monotonic() + 300
        while True:
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            try:
                self.client.get("/healthz")
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def deliver(self, delivery, version):
        """Deliver as MLflow does: its answer lost, it tries once more with the same id."""
        data = {"name": "a", "version": str(version), "tags": {"rats.digest": "0" * 64}}
        body = json.dumps({"entity": "model_version", "action": "created", "data": data}).encode()
        timestamp = str(int(time.time()))
        headers = {"X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": timestamp}
        headers["X-MLflow-Signature"] = sign(body, SECRET, delivery, timestamp)
        return self.client.post("/webhook", content=body, headers=headers, timeout=60).status_code


@pytest.mark.slow
def test_ten_versions_start_ten_runs(tmp_path):
    dice = random.Random(1)
    compile_pipeline(tmp_path / "retrain.yaml", "retrain_on_new_reward")
    write_json(tmp_path / "registry.json", [1])
    deliveries = [(f"{version}-{copy}", version) for version in VERSIONS for copy in range(DELIVERIES // 20)] * 2
    dice.shuffle(deliveries)
    kills = set(dice.sample(range(len(deliveries)), KILLS))
    with FakeKfp() as kfp:
        service = Service(tmp_path, kfp)
        service.start()
        for number, (delivery, version) in enumerate(deliveries):
            assert service.deliver(delivery, version) in (202, 409)
            if number in kills:
                time.sleep(dice.random() / 4)
                service.kill()
                service.start()
        # The registry tells of all of them, too, and of none that no delivery told of.
        write_json(tmp_path / "registry.json", [1, *VERSIONS])
        deadline = time.monotonic() + 120
        while len(kfp.things["runs"]) < len(VERSIONS):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(2)
        service.kill()
        started = sorted(run["display_name"] for run in kfp.things["runs"])
    assert started == sorted(f"retrain on a@{version}" for version in VERSIONS)
