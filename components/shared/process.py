"""A step's process: how many threads it takes, that it begins and ends without delay, that it ends when the run that
started it is gone, and whether a cluster runs it.
"""

import atexit
import contextlib
import gc
import os
import threading
import time
from pathlib import Path

import psutil

from components.shared.workspace import RUNNER_VARIABLE

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """CPU cores that this process may use: those it may run on, or fewer where its container has a quota of time.

    A pod limited to two cores on a large node sees all cores of the node; that many threads would only wait for turns.
    """
    cores = len(os.sched_getaffinity(0))
    quota, _, period = CPU_QUOTA.read_text().partition(" ") if CPU_QUOTA.is_file() else ("max", "", "")
    return cores if quota == "max" else min(cores, max(1, int(quota) // int(period)))


def limit_threads(processes: int = 1) -> None:
    """Share the cores among ``processes`` equal workers, for this process's children and libraries not yet loaded.

    A value that the caller's environment already has is left alone. Without this every worker starts one thread a core
    and they wait for each other.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // processes)))


def spare_collector() -> None:
    """Let Python's garbage collector look less often, and not at all while this process ends.

    What torch or MLflow bring lives as long as the process. By default the collector goes through all of it again and
    again while it is imported, for a fifth of that time, and once more for a second at the end.
    """
    gc.set_threshold(10_000, 10, 10)
    atexit.register(gc.freeze)


# Set by Kubernetes in every pod.
CLUSTER_VARIABLE = "KUBERNETES_SERVICE_HOST"


def in_cluster() -> bool:
    """Whether a cluster runs this step; a local runner may live in a pod too, such as that of a notebook."""
    return CLUSTER_VARIABLE in os.environ and RUNNER_VARIABLE not in os.environ


# Long enough for training to write a checkpoint.
GRACE_SECONDS = 30


def follow_runner(every: float = 1.0) -> None:
    """End this process and its children, who may save first, once the local runner named in the environment is gone.

    kfp.local starts a step through a shell, so a runner that is killed outright leaves the step training on, unseen.
    """
    runner = os.environ.get(RUNNER_VARIABLE)
    if runner and int(runner) != os.getpid():
        threading.Thread(target=_end_without, args=(int(runner), every), daemon=True).start()


def _end_without(runner: int, every: float) -> None:
    while lives(runner):
        time.sleep(every)
    children = psutil.Process().children(recursive=True)
    for send, patience in ((psutil.Process.terminate, GRACE_SECONDS), (psutil.Process.kill, 1)):
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                send(child)
        _, children = psutil.wait_procs(children, timeout=patience)
    os._exit(75)


def lives(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
