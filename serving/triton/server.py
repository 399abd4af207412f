"""One real `tritonserver` process on loopback: its command line, start, log and clean end."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from tritonclient.grpc import aio as grpc_aio
from tritonclient.utils import InferenceServerException

from rats_train.errors import RetryableError
from serving.triton.client import first_line
from serving.triton.installation import check_numpy, libpython_folder, prepare_backends, triton_home
from serving.triton.leftovers import remove_leftovers, remove_shared_memory
from serving.triton.tracing import trace_options

START_SECONDS = 60
STOP_SECONDS = 5
"""How long tritonserver waits for requests in flight, and how long we wait before its process group is killed."""

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]

# tritonserver must not outlive its parent, even one that is killed: the kernel sends it SIGTERM (prctl 1 is
# PR_SET_PDEATHSIG). A launcher does it because subprocess's preexec_fn may deadlock in a process with gRPC threads.
_LAUNCHER = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]): os.execv(sys.argv[2], sys.argv[2:])
"""


class TritonServer:
    """A tritonserver over `repo` that loads models only when told to (explicit mode), reached over gRPC.

    Use it from one event loop only: the gRPC client belongs to the loop that started it.
    """

    def __init__(self, repo: Path, workdir: Path, trusted_key: Path, log: Path | None = None) -> None:
        self._repo, self._workdir, self._trusted_key = repo, workdir, trusted_key
        self._process: subprocess.Popen[bytes] | None = None
        self._shm_prefix = f"rats_{os.getpid()}_{id(self):x}_"
        self.log = log or workdir / "tritonserver.log"
        self.client: grpc_aio.InferenceServerClient
        self.metrics_port: int

    @property
    def alive(self) -> bool:
        """Whether the process runs (it may still not answer)."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start the process and wait until it answers.

        Raises:
            UserError: the server or this Python cannot run here; the message says what to install.
            RetryableError: it ended or did not answer; the message carries the end of its log.
        """
        remove_leftovers()
        command, environment = self._command(), self._environment()
        grpc_port, self.metrics_port = free_ports(2)
        command += [f"--grpc-port={grpc_port}", f"--metrics-port={self.metrics_port}"]
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                launcher + command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self.client = grpc_aio.InferenceServerClient(f"127.0.0.1:{grpc_port}")
        await self._wait_until_live()

    async def stop(self) -> None:
        """End the process and its stubs, the polite way first, and remove what they leave in shared memory."""
        if self._process is None:
            return
        await self.client.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, STOP_SECONDS + 1)
        # The group id is the pid (start_new_session); stubs whose server died keep it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)
        remove_shared_memory(self._shm_prefix)

    async def load(self, model: str, timeout: float) -> None:
        """Load (or reload) `model` and wait until Triton serves it.

        Raises:
            RetryableError: Triton refused it, with Triton's own reason in one line.
        """
        try:
            await self.client.load_model(model, client_timeout=timeout)
        except InferenceServerException as error:
            raise RetryableError(f"Triton could not load {model}: {first_line(error)}") from error

    async def unload(self, model: str, timeout: float) -> None:
        """Unload `model`; its stub ends."""
        try:
            await self.client.unload_model(model, client_timeout=timeout)
        except InferenceServerException as error:
            raise RetryableError(f"Triton could not unload {model}: {first_line(error)}") from error

    async def instances(self, model: str) -> int:
        """How many instances of `model` there are: one on each GPU, or one."""
        found = (await self.client.get_model_config(model)).config.instance_group
        return sum(group.count * max(1, len(group.gpus)) for group in found)

    def log_tail(self, lines: int = 5) -> str:
        """The last `lines` of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _command(self) -> list[str]:
        home = triton_home()
        backends = prepare_backends(home, self._workdir / "backends")
        return [
            str(home / "bin/tritonserver"),
            f"--model-repository={self._repo.resolve()}",
            "--model-control-mode=explicit",
            f"--backend-directory={backends}",
            f"--backend-config=python,shm-region-prefix-name={self._shm_prefix}",
            "--disable-auto-complete-config",
            "--allow-http=false",
            "--allow-gpu-metrics=false",
            "--grpc-address=127.0.0.1",
            "--metrics-address=127.0.0.1",
            f"--exit-timeout-secs={STOP_SECONDS}",
            *trace_options(os.environ),
        ]

    def _environment(self) -> dict[str, str]:
        check_numpy(np.__version__)
        environment = dict(os.environ)
        # The stub embeds Python: these three make it the interpreter, the packages and the code that run here.
        for name, first in (
            ("LD_LIBRARY_PATH", libpython_folder()),
            ("PATH", Path(sys.executable).parent),
            ("PYTHONPATH", _PACKAGE_ROOT),
        ):
            environment[name] = os.pathsep.join(filter(None, [str(first), environment.get(name)]))
        environment["RATS_TRUSTED_KEY"] = str(self._trusted_key.resolve())
        return environment

    async def _wait_until_live(self) -> None:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while self.alive and asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(InferenceServerException):
                if await self.client.is_server_live(client_timeout=1):
                    return
            await asyncio.sleep(0.1)
        raise RetryableError(f"tritonserver did not start; the end of {self.log}:\n{self.log_tail()}")


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on right now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
