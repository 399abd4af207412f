"""Things die and break: health tells the truth, service comes back, nothing is left behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
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
from serving.triton.installation import prepare_backends
from serving.triton.server import TritonServer
from tests.serving_process import serving_process
from tests.waiting import wait_for

REQUEST = {"prompt": "two owls", "seed": 5, "num_inference_steps": 3}
PATH = "/v1/images/generations"


def draw(http, **more):
    return http.post(PATH, json={**REQUEST, **more})


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
def test_a_killed_stub_is_told_by_health_and_replaced_and_the_other_model_draws_on(two_models, tritons, outage):
    endpoint, repo = two_models
    with httpx.Client(base_url=endpoint.url, timeout=60) as http, callers(endpoint.url, model="other") as others:
        picture = draw(http, model="student").json()["data"][0]["b64_json"]
        before = tritons(os.getpid(), repo / "student")["stub"]
        before.kill()
        stub_is_dead = outage()
        stub_is_dead.told(http)
        told = http.get("/healthz").json()["models"]
        assert (told["other"], told["student"] == "ok") == ("ok", False)
        refusal = draw(http, model="student")
        assert (refusal.status_code, bool(refusal.headers["retry-after"])) == (503, True)
        assert "\n" not in refusal.json()["error"]["message"]
        stub_is_dead.over(http, lambda: [tritons(os.getpid(), repo / "student")["stub"]])
        assert draw(http, model="student").json()["data"][0]["b64_json"] == picture
        assert tritons(os.getpid(), repo / "student")["stub"] != before
    assert set(others) == {200}


@pytest.mark.slow
def test_a_killed_triton_is_told_by_health_and_started_again(two_models, tritons, outage):
    endpoint, repo = two_models
    with httpx.Client(base_url=endpoint.url, timeout=60) as http:
        picture = draw(http, model="student").json()["data"][0]["b64_json"]
        tritons(os.getpid(), repo)["server"].kill()
        triton_is_dead = outage()
        triton_is_dead.told(http)
        triton_is_dead.over(http, lambda: tritons(os.getpid(), repo).values())
        assert draw(http, model="student").json()["data"][0]["b64_json"] == picture


@pytest.mark.slow
def test_a_killed_gateway_leaves_nothing_and_the_next_one_serves(repo, keys, tritons, outage):
    # What starts it again is systemd, compose or Kubernetes: `restart: unless-stopped` in infra/compose.
    with serving_process(repo, keys) as (process, url), httpx.Client(base_url=url, timeout=60) as http:
        picture = draw(http).json()["data"][0]["b64_json"]
        processes = list(tritons(process.pid).values())
        process.kill()
        process.wait()
        gateway_is_dead = outage()
        with pytest.raises(httpx.TransportError):
            http.get("/healthz")
    with serving_process(repo, keys) as (process, url), httpx.Client(base_url=url, timeout=60) as http:
        gateway_is_dead.over(http, lambda: [psutil.Process(process.pid), *tritons(process.pid).values()])
        assert draw(http).json()["data"][0]["b64_json"] == picture
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
    small_disk, tiny_student_dir, keys, tritons, monkeypatch, outage
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
        stub_is_dead = outage()
        stub_is_dead.told(http)
        stub_is_dead.over(http, lambda: [tritons(os.getpid(), repo)["stub"]])
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
        wait_for(lambda: "Hash mismatch" in http.get("/healthz").text, "the refusal", 60)
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


@pytest.mark.slow
def test_a_stub_ends_as_a_process_should(repo, keys, tmp_path, monkeypatch):
    # Only tritonserver hears how its stubs end, so one in the middle tells us as well.
    def with_a_witness(home, folder):
        prepare_backends(home, folder)
        stub = folder / "python/triton_python_backend_stub"
        program = stub.resolve()
        stub.unlink()
        stub.write_text(f'#!/bin/sh\n{program} "$@"\necho $? > {tmp_path}/status\n')
        stub.chmod(0o755)
        return folder

    async def start_and_stop():
        triton = TritonServer(repo, tmp_path, signing_keys(keys).public)
        try:
            await triton.start()
            await triton.load("student", 300)
        finally:
            await triton.stop()

    monkeypatch.setattr("serving.triton.server.prepare_backends", with_a_witness)
    monkeypatch.setattr("serving.triton.server.STOP_SECONDS", 60)  # to take torch down costs a second of processor time
    asyncio.run(start_and_stop())
    assert (tmp_path / "status").read_text() == "0\n"


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_a_signal_ends_everything(repo, keys, tritons, sent, status):
    with serving_process(repo, keys) as (process, url):
        assert httpx.get(f"{url}/healthz", timeout=30).status_code == 200
        processes = list(tritons(process.pid).values())
        assert len(processes) == 2
        process.send_signal(sent)
        assert process.wait(60) == status
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
