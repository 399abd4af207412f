"""Train on a Kubernetes cluster: start a TrainJob, show how far it is, and turn its end into this process's own errors.

The sister of `rats_train.engine.launch`, which starts torchrun on this machine. Recipe, trajectories, checkpoints and
result lie on a volume that this step and the pods of the job share.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from kfp.dsl import TaskConfig
from rich.console import Console

from components.image import BASE_IMAGE
from components.shared.workspace import publish
from components.train_student.kubernetes_api import TrainJobs
from components.train_student.pod_logs import PodLogs
from components.train_student.pods import Pod, pod_name, raise_end, waiting_for
from components.train_student.train_job import Owner, build_train_job, check_shared
from rats_train.engine.failure import LOG, clear_failure
from rats_train.engine.launch import show_progress
from rats_train.engine.records import PROGRESS
from rats_train.errors import RetryableError
from rats_train.files import read_json
from rats_train.progress import ProgressReport

# Set by KFP in the pods of its steps.
POD_NAME_VARIABLE, POD_UID_VARIABLE = "KFP_POD_NAME", "KFP_POD_UID"
INPUTS = "inputs"
FRUITLESS_ATTEMPTS = 3
SECONDS_WITHOUT_ANSWER = 600.0


class StoppedError(RetryableError):
    """Somebody ended this run, so it does not go on by itself."""


def launch_job(recipe: Path, store: Path, out: Path, *, world_size: int, nodes: int, config: TaskConfig) -> None:
    """Train in ``out`` on ``nodes`` nodes of the cluster, again from the last checkpoint when they are taken away.

    Raises:
        UserError: a mistake in the recipe, in what it names, or in what the step was given; a refusal of Kubernetes.
        OutOfMemoryError: a pod or a GPU had too little memory.
        RetryableError: stopped, or taken away again and again without a step forward.
        RuntimeError: an error in the code.
    """
    check_shared(out, config)
    inputs = out / INPUTS
    publish(recipe, inputs / "recipe.yaml")
    publish(store, inputs / "store")
    worker = ["-m", "rats_train.engine.worker", "--recipe", str(inputs / "recipe.yaml")]
    command = [*worker, "--store", str(inputs / "store"), "--out", str(out)]
    # The folder's name is the content key: two attempts at the same training can never be two jobs.
    name = f"rats-{out.name}"
    manifest = build_train_job(
        name, command, image=BASE_IMAGE, nodes=nodes, world_size=world_size, config=config, owner=_owner()
    )
    run_job(TrainJobs.in_cluster(), manifest, out)


def run_job(jobs: TrainJobs, manifest: dict[str, Any], out: Path, *, every: float = 5.0, pause: float = 30.0) -> None:
    """Run the job to its end, and again while nodes are taken away and there is progress.

    Args:
        jobs: where to run it.
        manifest: the TrainJob.
        out: folder of the training.
        every: seconds between looks at it.
        pause: seconds before another attempt.

    Raises:
        UserError, OutOfMemoryError, RetryableError, RuntimeError: as `launch_job`.
    """
    console, fruitless, best = Console(soft_wrap=True), 0, _step(out)
    while True:
        try:
            _attempt(jobs, manifest, out, every, console)
            return
        except StoppedError:
            raise
        except RetryableError as error:
            reached = _step(out)
            fruitless, best = (0, reached) if reached > best else (fruitless + 1, best)
            if fruitless == FRUITLESS_ATTEMPTS:
                raise
            console.print(f"{error} Going on from the last checkpoint.", markup=False, highlight=False)
            time.sleep(pause)


def _attempt(jobs: TrainJobs, manifest: dict[str, Any], out: Path, every: float, console: Console) -> None:
    """One job from its start to its end; deleted whichever way this ends."""
    name = manifest["metadata"]["name"]
    with _termination_raised():
        try:
            _start(jobs, manifest, out, every, console)
            _wait(jobs, name, out, every, console)
        finally:
            jobs.delete(name)


def _start(jobs: TrainJobs, manifest: dict[str, Any], out: Path, every: float, console: Console) -> None:
    """Create the job, or take over one that a killed attempt of this step left behind."""
    name = manifest["metadata"]["name"]
    while True:
        found = jobs.find(name)
        if found is None:
            clear_failure(out)
            if jobs.create(manifest):
                console.print(f"TrainJob {name} created in namespace {jobs.namespace}.", highlight=False)
                return
        elif "deletionTimestamp" not in found["metadata"]:
            console.print(f"TrainJob {name} is there already; waiting for it.", highlight=False)
            return
        time.sleep(every)


def _wait(jobs: TrainJobs, name: str, out: Path, every: float, console: Console) -> None:
    """Show logs and progress until the job is over."""
    logs, seen, said = PodLogs(jobs.log_lines, out / LOG), dict[str, Pod](), ""
    end: dict[str, Any] = {}
    with ProgressReport("training", console) as report:
        for job, pods in _looks(jobs, name, every):
            seen |= {pod_name(pod): pod for pod in pods}
            logs.follow(pods)
            show_progress(out, report)
            if (waits := waiting_for(pods)) != said and waits:
                console.print(f"Waiting: {waits}", markup=False, highlight=False)
            said = waits
            if end := _end(job):
                break
        logs.drain()
        show_progress(out, report)
    if end["type"] == "Failed":
        raise_end(seen.values(), out, end.get("message", ""))


def _looks(jobs: TrainJobs, name: str, every: float) -> Iterator[tuple[dict[str, Any], list[Pod]]]:
    """The job and its pods as they are now, again and again; an API server that does not answer is waited for.

    The job trains on while nobody answers; giving up at once would delete it.

    Raises:
        StoppedError: somebody deleted the job.
        RetryableError: nobody answered for `SECONDS_WITHOUT_ANSWER`.
    """
    answered = time.monotonic()
    while True:
        try:
            job, pods = jobs.find(name), jobs.pods(name)
        except StoppedError:
            raise
        except RetryableError:
            if time.monotonic() - answered > SECONDS_WITHOUT_ANSWER:
                raise
        else:
            if job is None:
                raise StoppedError(f"TrainJob {name} was deleted; run the step again to go on where it was.")
            answered = time.monotonic()
            yield job, pods
        time.sleep(every)


def _end(job: dict[str, Any]) -> dict[str, Any]:
    """The condition that says that the job is over; empty while it is not."""
    conditions = job.get("status", {}).get("conditions", [])
    over = [each for each in conditions if each["type"] in ("Complete", "Failed") and each["status"] == "True"]
    return over[0] if over else {}


def _step(out: Path) -> int:
    """The step that the training has reached."""
    return int(read_json(out / PROGRESS)["step"]) if (out / PROGRESS).is_file() else 0


@contextmanager
def _termination_raised() -> Iterator[None]:
    """Let SIGTERM, which ends the pods of a terminated run, be an exception, so that the job is deleted on the way."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError("Stopped: the run was terminated; run it again to go on from the last checkpoint.")

    earlier = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _owner() -> Owner | None:
    """The pod of this step, where KFP names it."""
    name, uid = os.environ.get(POD_NAME_VARIABLE), os.environ.get(POD_UID_VARIABLE)
    return Owner(name, uid) if name and uid else None
