"""What the pods of a training say about how it goes and why it ended: pure functions of their JSON."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from rats_train.engine.failure import FAILURE, raise_failure
from rats_train.errors import OutOfMemoryError, RetryableError

Pod = Mapping[str, Any]

OUT_OF_MEMORY = "OOMKilled"
# What a pod's status gives as reason where the node was taken away from it.
TAKEN_AWAY = {"Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated"}
DISRUPTED = "DisruptionTarget"
# SIGKILL, SIGTERM, and our own word for "run me again".
KILLED = {137, 143, RetryableError.exit_code}


def pod_name(pod: Pod) -> str:
    """Name of a pod."""
    return str(pod["metadata"]["name"])


def waiting_for(pods: Iterable[Pod]) -> str:
    """What keeps pods from running, in one line a person can act on; empty where all run."""
    reasons = sorted({reason for pod in pods for reason in _waits(pod)})
    return "; ".join(reasons)


def raise_end(pods: Iterable[Pod], folder: Path, message: str) -> NoReturn:
    """Raise why a failed training failed, from its pods as they were last seen and from what its workers noted.

    The pods come first: where the kernel kills one rank, the others only notice that it no longer answers.

    Args:
        pods: of the job, those that are gone as they were last seen.
        folder: where the workers note a failure.
        message: what the job's own condition says.

    Raises:
        OutOfMemoryError: a container was killed for want of memory.
        RetryableError: pods were preempted, evicted or killed, or vanished.
        UserError: a worker noted a person's mistake.
        RuntimeError: a worker met an error in the code.
    """
    pods = list(pods)
    for pod, ended in _ends(pods):
        if ended.get("reason") == OUT_OF_MEMORY:
            raise OutOfMemoryError(
                f"Pod {pod_name(pod)} was killed because it took more memory than its limit; the last checkpoint is "
                "kept. Raise memory_per_node, or lower training.batch_size."
            )
    for pod in pods:
        if reason := _taken_away(pod):
            raise RetryableError(f"Pod {pod_name(pod)} was taken off its node ({reason}).")
    if (folder / FAILURE).is_file():
        raise_failure(folder)
    for pod, ended in _ends(pods):
        code = ended["exitCode"]
        if code and code not in KILLED:
            raise RuntimeError(f"Pod {pod_name(pod)} ended with status {code} before training began (log: {folder}).")
    raise RetryableError(f"The pods of the training were killed from outside ({message}).")


def _ends(pods: Iterable[Pod]) -> Iterator[tuple[Pod, Mapping[str, Any]]]:
    """Every pod with every end of a container of it, an earlier one that was restarted too."""
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses") or []:
            for state in ("state", "lastState"):
                if ended := (container.get(state) or {}).get("terminated"):
                    yield pod, ended


def _taken_away(pod: Pod) -> str:
    """Why the pod lost its node; empty where it did not."""
    status = pod.get("status", {})
    for condition in _true_conditions(pod, DISRUPTED):
        return str(condition.get("reason") or DISRUPTED)
    reason = str(status.get("reason") or "")
    return reason if reason in TAKEN_AWAY else ""


def _true_conditions(pod: Pod, kind: str, status: str = "True") -> list[Mapping[str, Any]]:
    conditions = pod.get("status", {}).get("conditions") or []
    return [condition for condition in conditions if (condition["type"], condition["status"]) == (kind, status)]


def _waits(pod: Pod) -> Iterator[str]:
    for condition in _true_conditions(pod, "PodScheduled", "False"):
        yield str(condition.get("message") or condition.get("reason") or "no node yet")
    for container in pod.get("status", {}).get("containerStatuses") or []:
        if waiting := (container.get("state") or {}).get("waiting"):
            yield ": ".join(filter(None, (waiting.get("reason"), waiting.get("message"))))
