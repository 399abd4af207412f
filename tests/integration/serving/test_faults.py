"""Things die and break: health tells the truth, service comes back, nothing is left behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from rats_train.errors import RetryableError, UserError
from serving.endpoint import serve
from serving.keys import signing_keys
from serving.package.promotion import promote, served
from serving.packaging.student import package_student
from serving.triton.server import TritonServer

REQUEST = {"prompt": "two owls", "seed": 5, "num_inference_steps": 3}
PATH = "/v1/images/generations"
TRUTH_SECONDS = 5
SERVICE_SECONDS = 30


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} not within {seconds} s"
        time.sleep(0.1)


def draw(http, **more):
    return http.post(PATH, json={**REQUEST, **more})


def assert_back_in_time(processes):
    """On a core of their own they would have been ready in time; here they share one with whatever else runs."""
    times = [process.cpu_times() for process in processes]
    assert sum(each.user + each.system for each in times) < SERVICE_SECONDS


@contextlib.contextmanager
def callers(url, **more):
    """Somebody asks all the time; gives the statuses of the answers."""
    statuses, stop = [], threading.Event()

    def ask():
        with httpx.Client(base_url=url, timeout=60) as http:
            while not stop.is_set():
                statuses.append(draw(http, **more).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def two_models(tiny_student_dir, keys, tmp_path_factory):
    """Two models, so that one can be unharmed when the other one's stub dies."""
    repo = tmp_path_factory.mktemp("faults") / "models"
    for name in ("other", "student"):
        package_student(tiny_student_dir, repo, name=name, prompts=["two owls"], keys=keys)
    with serve(repo, http_port=0, keys=keys) as endpoint:
        yield endpoint, repo


@pytest.mark.slow
def test_a_killed_stub_is_told_by_health_and_replaced_and_the_other_model_draws_on(two_models, tritons):
    endpoint, repo = two_models
    with httpx.Client(base_url=endpoint.url, timeout=60) as http, callers(endpoint.url, model="other") as others:
        picture = draw(http, model="student").json()["data"][0]["b64_json"]
        before = tritons(os.getpid(), repo / "student")["stub"]
        before.kill()
        wait_for(lambda: http.get("/healthz").status_code == 503, TRUTH_SECONDS, "the truth")
        told = http.get("/healthz").json()["models"]
        assert (told["other"], told["student"] == "ok") == ("ok", False)
        refusal = draw(http, model="student")
        assert (refusal.status_code, bool(refusal.headers["retry-after"])) == (503, True)
        assert "\n" not in refusal.json()["error"]["message"]
        wait_for(lambda: http.get("/healthz").status_code == 200, 300, "recovery")
        assert draw(http, model="student").json()["data"][0]["b64_json"] == picture
        after = tritons(os.getpid(), repo / "student")["stub"]
        assert after != before
        assert_back_in_time([after])
    assert set(others) == {200}


@pytest.mark.slow
def test_a_killed_triton_is_told_by_health_and_started_again(two_models, tritons):
    endpoint, repo = two_models
    with httpx.Client(base_url=endpoint.url, timeout=60) as http:
        picture = draw(http, model="student").json()["data"][0]["b64_json"]
        tritons(os.getpid(), repo)["server"].kill()
        wait_for(lambda: http.get("/healthz").status_code == 503, TRUTH_SECONDS, "the truth")
        wait_for(lambda: http.get("/healthz").status_code == 200, 300, "recovery")
        assert draw(http, model="student").json()["data"][0]["b64_json"] == picture
        assert_back_in_time(tritons(os.getpid(), repo).values())


@pytest.mark.slow
def test_a_killed_gateway_leaves_nothing_and_the_next_one_serves(repo, keys, tritons):
    # What starts it again is systemd, compose or Kubernetes: `restart: unless-stopped` in infra/compose.
    with running(repo, keys) as (process, url), httpx.Client(base_url=url, timeout=60) as http:
        picture = draw(http).json()["data"][0]["b64_json"]
        processes = list(tritons(process.pid).values())
        process.kill()
        process.wait()
        with pytest.raises(httpx.TransportError):
            http.get("/healthz")
    with running(repo, keys) as (process, url):
        assert draw(httpx.Client(base_url=url, timeout=60)).json()["data"][0]["b64_json"] == picture
        assert_back_in_time([psutil.Process(process.pid), *tritons(process.pid).values()])
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, 40 MB large."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder):
    with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(4096))


@pytest.mark.slow
def test_a_full_disk_stops_packaging_and_promoting_but_no_drawing(
    small_disk, tiny_student_dir, keys, tritons, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))  # Triton's folder and log
    repo, public = small_disk / "models", signing_keys(keys).public
    for prompts in (["two owls"], ["a fox"]):
        package_student(tiny_student_dir, repo, prompts=prompts, keys=keys)
    with serve(repo, http_port=0, keys=keys) as endpoint, httpx.Client(base_url=endpoint.url, timeout=60) as http:
        with callers(endpoint.url) as statuses:
            picture = draw(http).json()["data"][0]["b64_json"]
            fill(small_disk)
            with pytest.raises(UserError, match=r"^No space left to write [^\n]*models/student [^\n]*$"):
                package_student(tiny_student_dir, repo, prompts=["a third"], keys=keys)
            assert not list(repo.glob(".staging-*"))
            fill(small_disk)
            with pytest.raises(UserError, match="No space left to write"):
                promote(repo, 2, public_key=public)
            time.sleep(5)  # the watch looks twice
            assert (http.get("/healthz").status_code, served(repo / "student")) == (200, 1)
            assert draw(http).json()["data"][0]["b64_json"] == picture
        assert set(statuses) == {200}
        tritons(os.getpid(), repo)["stub"].kill()
        wait_for(lambda: http.get("/healthz").status_code == 503, TRUTH_SECONDS, "the truth")
        wait_for(lambda: http.get("/healthz").status_code == 200, 300, "recovery on a full disk")
        assert draw(http).json()["data"][0]["b64_json"] == picture


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


@contextlib.contextmanager
def running(repo, keys):
    """`rats serve` as a process of its own, and its address."""
    command = [sys.executable, "-c", SCRIPT, str(repo)]
    environment = {**os.environ, "RATS_KEYS": str(keys)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process, process.stdout.readline().strip()
        process.terminate()


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_a_signal_ends_everything(repo, keys, tritons, sent, status):
    with running(repo, keys) as (process, url):
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
