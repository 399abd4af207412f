"""Things die and break: health tells the truth, service comes back, nothing is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from rats_train.errors import RetryableError, UserError
from serving.endpoint import serve
from serving.keys import signing_keys
from serving.packaging.student import package_student
from serving.triton.server import TritonServer

REQUEST = {"prompt": "two owls", "seed": 5, "num_inference_steps": 3}


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} not within {seconds} s"
        time.sleep(0.1)


def draw(http):
    return http.post("/v1/images/generations", json=REQUEST)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["stub", "server"])
def test_a_killed_process_is_told_by_health_and_replaced(http, tritons, victim):
    picture = draw(http).json()["data"][0]["b64_json"]
    before = tritons(os.getpid())
    before[victim].kill()
    wait_for(lambda: http.get("/healthz").status_code == 503, 5, "the truth")
    refusal = draw(http)
    assert refusal.status_code == 503
    assert refusal.headers["retry-after"]
    assert "\n" not in refusal.json()["error"]["message"]
    wait_for(lambda: http.get("/healthz").status_code == 200, 300, "recovery")
    assert draw(http).json()["data"][0]["b64_json"] == picture
    assert tritons(os.getpid())["stub"] != before["stub"]


@pytest.mark.slow
def test_a_version_that_changed_on_disk_is_not_loaded_again(tiny_student_dir, tmp_path, tritons):
    keys = tmp_path / "keys"
    version = package_student(tiny_student_dir, tmp_path / "models", keys=keys)
    with serve(tmp_path / "models", http_port=0, keys=keys) as endpoint, httpx.Client(base_url=endpoint.url) as http:
        weights = version / "student/transformer/diffusion_pytorch_model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        tritons(os.getpid(), tmp_path)["stub"].kill()  # other tests' endpoints may live in this process
        wait_for(lambda: "Hash mismatch" in http.get("/healthz").text, 60, "the refusal")
        assert "Hash mismatch" in draw(http).json()["error"]["message"]
    with pytest.raises(UserError, match="Hash mismatch"), serve(tmp_path / "models", http_port=0, keys=keys):
        pass


@pytest.mark.slow
def test_the_backend_itself_refuses_a_changed_version(tiny_student_dir, tmp_path):
    # It is the last to look, and in a cluster the only one.
    keys = tmp_path / "keys"
    version = package_student(tiny_student_dir, tmp_path / "models", keys=keys)
    (version / "canary.png").write_bytes(b"")

    async def load():
        server = TritonServer(tmp_path / "models", tmp_path, signing_keys(keys).public)
        try:
            await server.start()
            await server.load("student", 300)
        finally:
            await server.stop()

    with pytest.raises(RetryableError, match=r"could not load student.*Hash mismatch for 'canary\.png'"):
        asyncio.run(load())


SCRIPT = """\
import sys
from pathlib import Path
from serving.endpoint import run_forever
run_forever(Path(sys.argv[1]), on_ready=lambda endpoint: print(endpoint.url, flush=True), http_port=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_a_signal_ends_everything(repo, keys, tritons, sent, status):
    command = [sys.executable, "-c", SCRIPT, str(repo)]
    environment = {**os.environ, "RATS_KEYS": str(keys)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/healthz", timeout=30).status_code == 200
        processes = list(tritons(process.pid).values())
        assert len(processes) == 2
        process.send_signal(sent)
        assert process.wait(30) == status
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive
    assert not list(Path("/dev/shm").glob(f"rats_{process.pid}_*"))


def test_shared_memory_carries_our_name(endpoint):
    # Else leftovers could not be told from those of another server on this machine.
    assert list(Path("/dev/shm").glob(f"rats_{os.getpid()}_*"))


def test_triton_listens_on_loopback_only(endpoint, tritons):
    connections = tritons(os.getpid())["server"].net_connections("tcp")
    listening = {each.laddr.ip.removeprefix("::ffff:") for each in connections if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_no_private_key_reaches_triton(endpoint, keys, tritons):
    for process in tritons(os.getpid()).values():
        assert str(signing_keys(keys).private) not in process.environ().values()
        assert process.environ()["RATS_TRUSTED_KEY"] == str(signing_keys(keys).public)
