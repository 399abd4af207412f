"""Start torchrun, show how far it is, and turn its end into this process's own errors.

launch("recipe.yaml", store="runs/trajectories", out="runs/training", world_size=2)
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rats_train.engine.failure import LOG, clear_failure, raise_failure
from rats_train.engine.records import PROGRESS
from rats_train.engine.stop import LAUNCHER_PID
from rats_train.files import read_json
from rats_train.progress import ProgressReport

_SECONDS_BETWEEN_LOOKS = 0.5


def launch(recipe: str | Path, store: str | Path | None, out: str | Path, world_size: int) -> Path:
    """Train on ``world_size`` processes of this machine and return ``out``; what they print goes to its train.log.

    SIGTERM and Ctrl-C reach the workers, which write a checkpoint before they end.

    Raises:
        UserError: a mistake in the recipe or in what it names, numbers that are not finite, or a full disk.
        RetryableError: stopped or killed; the same call goes on from the last checkpoint.
        RuntimeError: an error in the code.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    clear_failure(out)
    (out / PROGRESS).unlink(missing_ok=True)
    with (out / LOG).open("a") as log, ProgressReport("training") as report:
        process = subprocess.Popen(
            _command(recipe, store, out, world_size), stdout=log, stderr=log, env=_environment(world_size)
        )
        with _signals_passed_on(process):
            while _still_running(process):
                show_progress(out, report)
        show_progress(out, report)
    if process.returncode:
        raise_failure(out)
    return out


def _command(recipe: str | Path, store: str | Path | None, out: Path, world_size: int) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    worker = ["-m", "rats_train.engine.worker", "--recipe", str(recipe), "--out", str(out)]
    stored = ["--store", str(store)] if store is not None else []
    return [*torchrun, "--nproc-per-node", str(world_size), *worker, *stored]


def _environment(world_size: int) -> dict[str, str]:
    """Each worker gets its share of the cores, and knows whom it works for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // world_size)), **os.environ, LAUNCHER_PID: str(os.getpid())}


@contextmanager
def _signals_passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand SIGTERM and SIGINT to torchrun, which hands them to the workers."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    earlier = {
        number: signal.signal(number, lambda received, _: process.send_signal(received))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _still_running(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=_SECONDS_BETWEEN_LOOKS)
    except subprocess.TimeoutExpired:
        return True
    return False


def show_progress(out: Path, report: ProgressReport) -> None:
    """Report how far the training in ``out`` says it is, on whatever machine it runs."""
    if (out / PROGRESS).is_file():
        now = read_json(out / PROGRESS)
        if "waiting_for" in now:
            report.wait(now["waiting_for"], now["waiting_seconds"])
            return
        rewards = [f"{who} {now[f'reward_{who}']:.4f}" for who in ("student", "teacher") if now[f"reward_{who}"]]
        report(now["step"], now["steps"], f"reward {', '.join(rewards)}" if rewards else "")
