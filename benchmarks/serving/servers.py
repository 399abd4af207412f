"""Servers as processes: started, watched from outside, ended with all that they started."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from rats_train.errors import RetryableError
from rats_train.models.load import load_model
from serving.keys import signing_keys
from serving.package.contents import Package
from serving.package.verification import verify_package
from serving.packaging.student import package_student

MIX = (3, 5, 8)
PROMPTS = ("two owls", "a fox above a frog", "a cactus and a frog", "three pizzas")


@dataclass(frozen=True)
class Server:
    """A server that answers at `url`."""

    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Processor time that it and the processes it started have taken."""
        times = [process.cpu_times() for process in self._all()]
        return sum(each.user + each.system for each in times)

    def memory(self) -> dict[str, int]:
        """Resident bytes by program."""
        names = {"tritonserver": "triton", "triton_python_backend_stub": "stub"}
        return {names.get(Path(each.exe()).name, "gateway"): each.memory_info().rss for each in self._all()}

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextlib.contextmanager
def running(
    module: str, arguments: Sequence[str | Path], keys: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """`python -m benchmarks.serving.<module>` on one thread, once it has printed its address.

    Args:
        module: what to start.
        arguments: of its command line.
        keys: folder of the keys that it takes for this user's own.
        environment: what it is told besides.

    Raises:
        RetryableError: it ended instead.
    """
    command = [sys.executable, "-m", f"benchmarks.serving.{module}", *map(str, arguments)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "RATS_KEYS": str(keys), **(environment or {})}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise RetryableError(f"{' '.join(command)} did not start: its complaint is above")
            yield Server(url, psutil.Process(process.pid))
        finally:
            process.terminate()


def packaged(teacher: Path, folder: Path) -> Package:
    """A teacher, packaged in `folder` as if it were a student: its weights cost what a student's do."""
    load_model(teacher).save_student(folder / "student", None, terminal_sigma=0.25, steps=list(MIX), guidance_scale=1.0)
    version = package_student(folder / "student", folder / "models", prompts=PROMPTS, keys=folder / "keys")
    return verify_package(version, signing_keys(folder / "keys").public)
