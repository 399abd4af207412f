"""A stand-in for a cluster with Kubeflow Trainer, over HTTP on loopback: no real one can run where these tests run.

It keeps TrainJobs and their pods, and runs the command of each job as processes of this machine, one a node, with the
variables that the runtime ``torch-distributed`` sets. A body that Kubernetes' own schema refuses is refused, where that
schema is at hand. What it cannot show: admission, scheduling, JobSet's retries, and the webhook of Trainer.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.schemas import violations

JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs"
PODS = "/api/v1/namespaces/team/pods"


class FakeKubernetes:
    """One namespace, ``team``.

    Attributes:
        jobs: the TrainJobs by name.
        created: every body that was accepted.
        requests: method and path of every call.
        outage: while set, every call is answered by 503.
        forbidden: while set, every call is answered by 403.
        delay: seconds before a call is answered.
    """

    def __init__(self, folder: Path, described: dict[str, Any] | None = None) -> None:
        self.folder, self.described = folder, described
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.created: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.outage = self.forbidden = False
        self.delay = 0.0
        self.lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeKubernetes":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for process in self.processes.values():
            process.kill()

    def create(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Take a TrainJob and start its processes."""
        name = body["metadata"]["name"]
        if name in self.jobs:
            return 409, {"message": f'trainjobs "{name}" already exists'}
        if self.described and (wrong := violations(body, self.described)):
            return 422, {"message": "; ".join(wrong)}
        self.jobs[name] = {**body, "status": {}}
        self.created.append(body)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for node in range(body["spec"]["trainer"]["numNodes"]):
            self._start(name, node, body["spec"]["trainer"], port)
        threading.Thread(target=self._watch, args=(name,), daemon=True).start()
        return 201, self.jobs[name]

    def delete(self, name: str) -> tuple[int, Any]:
        """Let the processes of a job save and go, then forget it."""
        if name not in self.jobs:
            return 404, {"message": f'trainjobs "{name}" not found'}
        self.jobs[name]["metadata"] = {**self.jobs[name]["metadata"], "deletionTimestamp": _now()}
        threading.Thread(target=self._remove, args=(name,), daemon=True).start()
        return 200, {}

    def take_away(self, pod: str, *, signal: int = 15, reason: str | None = None, **condition: str) -> None:
        """End a pod as the cluster would: by preemption (a condition) or by the kernel (a reason of its container)."""
        with self.lock:
            status = self.pods[pod]["status"]
            status["conditions"] = [condition | {"status": "True"}] if condition else []
            status["reason_of_end"] = reason
        self.processes[pod].send_signal(signal)

    def _start(self, job: str, node: int, trainer: dict[str, Any], port: int) -> None:
        pod = f"{job}-node-0-{node}"
        environment = {
            **os.environ,
            **{entry["name"]: entry["value"] for entry in trainer.get("env", [])},
            "PET_NNODES": str(trainer["numNodes"]),
            "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
            "PET_NODE_RANK": str(node),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(port),
        }
        command = trainer["command"]
        if command[0] == "torchrun":
            command = [sys.executable, "-m", "torch.distributed.run", *command[1:]]
        with (self.folder / f"{pod}.log").open("wb") as log:
            self.processes[pod] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.pods[pod] = {
            "metadata": {"name": pod, "labels": {"jobset.sigs.k8s.io/jobset-name": job}},
            "status": {"phase": "Running"},
        }

    def _watch(self, job: str) -> None:
        """Keep the state of pods and job as those of the processes."""
        pods = [name for name in self.pods if name.startswith(f"{job}-node-")]
        codes: dict[str, int | None] = dict.fromkeys(pods)
        while None in codes.values() and not any(codes.values()):
            time.sleep(0.05)
            codes = {pod: self.processes[pod].poll() for pod in pods}
        for pod in pods:
            if codes[pod] is None:
                self.processes[pod].terminate()
            self._ended(pod, self.processes[pod].wait())
        with self.lock:
            failed = any(self.processes[pod].returncode for pod in pods)
            condition = {"type": "Failed" if failed else "Complete", "status": "True", "reason": "JobsEnded"}
            condition |= {"message": "jobset ended", "lastTransitionTime": _now()}
            self.jobs.get(job, {})["status"] = {"conditions": [condition]}

    def _ended(self, pod: str, code: int) -> None:
        with self.lock:
            status = self.pods.get(pod, {"status": {}})["status"]
            status["phase"] = "Failed" if code else "Succeeded"
            reason = status.pop("reason_of_end", None) or ("Error" if code else "Completed")
            ended = {"exitCode": code if code >= 0 else 128 - code, "reason": reason}
            container = {"name": "node", "image": "", "imageID": "", "ready": False, "restartCount": 0}
            status["containerStatuses"] = [container | {"state": {"terminated": ended}}]

    def _remove(self, name: str) -> None:
        pods = [pod for pod in self.pods if pod.startswith(f"{name}-node-")]
        for pod in pods:
            self.processes[pod].terminate()
        for pod in pods:
            self.processes[pod].wait()
        with self.lock:
            for pod in pods:
                del self.pods[pod]
            del self.jobs[name]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _handler(cluster: FakeKubernetes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def answer(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def serve(self, work: Callable[[str, dict[str, list[str]]], tuple[int, Any]]) -> None:
            parts = urlsplit(self.path)
            cluster.requests.append((self.command, parts.path))
            time.sleep(cluster.delay)
            if cluster.outage:
                return self.answer(503, {"message": "no leader"})
            if cluster.forbidden:
                return self.answer(403, {"message": f"cannot {self.command} {parts.path}"})
            with cluster.lock:
                status, value = work(parts.path, parse_qs(parts.query))
            return self.answer(status, value)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.serve(lambda path, query: cluster.create(body) if path == JOBS else _unknown(path))

        def do_DELETE(self) -> None:
            self.serve(lambda path, query: cluster.delete(path.removeprefix(f"{JOBS}/")))

        def do_GET(self) -> None:
            if self.path.startswith(PODS) and "/log" in self.path:
                return self.stream(self.path.removeprefix(f"{PODS}/").partition("/")[0])
            return self.serve(self.look)

        def look(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
            if path == PODS:
                label, _, value = query["labelSelector"][0].partition("=")
                items = [pod for pod in cluster.pods.values() if pod["metadata"]["labels"].get(label) == value]
                return 200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
            job = cluster.jobs.get(path.removeprefix(f"{JOBS}/"))
            return (200, job) if job else _unknown(path)

        def stream(self, pod: str) -> None:
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            with (cluster.folder / f"{pod}.log").open() as log:
                lines = enumerate(iter(log.readline, None))
                while True:
                    over = cluster.processes[pod].poll() is not None
                    for number, line in lines:
                        if not line:
                            break
                        self.wfile.write(f"2026-01-01T00:00:00.{number:09d}Z {line}".encode())
                    self.wfile.flush()
                    if over:
                        break
                    time.sleep(0.05)
            self.close_connection = True

    return Handler


def _unknown(path: str) -> tuple[int, Any]:
    return 404, {"message": f"{path} not found"}
