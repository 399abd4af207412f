"""The logs of a training's pods, line by line as they come: to the log of this step, and into a file that stays."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from components.train_student.pods import Pod, pod_name

Lines = Callable[[str], Iterator[tuple[str, str]]]

_SECONDS_BEFORE_ANOTHER_TRY = 2.0
_SECONDS_TO_DRAIN = 5.0


class PodLogs:
    """Follows each pod in a thread of its own, and takes up a stream that broke where it broke.

    Args:
        lines: time and text of every line of a pod's log, from the first on.
        file: where the lines are added.
    """

    def __init__(self, lines: Lines, file: Path) -> None:
        self._lines, self._file = lines, file
        self._threads: dict[str, threading.Thread] = {}
        self._ended: set[str] = set()
        self._writing = threading.Lock()

    def follow(self, pods: Iterable[Pod]) -> None:
        """Follow those of the pods that have begun and are not followed yet; note those that are over."""
        for pod in pods:
            name, phase = pod_name(pod), pod.get("status", {}).get("phase")
            if phase in ("Succeeded", "Failed"):
                self._ended.add(name)
            if name not in self._threads and phase not in (None, "Pending"):
                self._threads[name] = threading.Thread(target=self._follow, args=(name,), daemon=True)
                self._threads[name].start()

    def drain(self) -> None:
        """Wait a little for the last lines of pods that are over."""
        self._ended |= set(self._threads)
        for thread in self._threads.values():
            thread.join(_SECONDS_TO_DRAIN)

    def _follow(self, pod: str) -> None:
        seen = ""
        while True:
            over = pod in self._ended
            try:
                for moment, text in self._lines(pod):
                    if moment > seen:
                        seen = moment
                        self._write(pod, text)
            except (ApiException, HTTPError, OSError):
                pass  # the log is for people; the job's own state decides
            if over:
                return
            time.sleep(_SECONDS_BEFORE_ANOTHER_TRY)

    def _write(self, pod: str, text: str) -> None:
        with self._writing:
            with self._file.open("a") as file:
                file.write(f"{pod} {text}\n")
            sys.stdout.write(f"{pod} {text}\n")
            sys.stdout.flush()
