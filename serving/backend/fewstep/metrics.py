"""What the loop has counted, as metrics of Triton itself: they appear on its metrics port beside its own.

They are passed on once a second by a thread of their own, because each call asks the server's process.
"""

import threading
from typing import Any

import triton_python_backend_utils as pb_utils

from serving.drawing.loop import Tally

_SECONDS = 1.0
_COUNTERS = {
    "steps_total": "Denoising steps, by the number of transformer evaluations in them.",
    "pictures_total": "Pictures by how they ended.",
    "step_seconds_total": "Seconds spent on denoising steps.",
    "queue_seconds_total": "Seconds that pictures waited for a slot.",
    "admitted_total": "Pictures that got a slot.",
    "prompts_total": "Prompts whose embeddings were at hand (hit) or had to be computed (miss).",
}
_GAUGES = {"active": "Pictures that hold a slot.", "waiting": "Pictures that wait for one."}


class Metrics:
    """Passes a loop's tally on until closed."""

    def __init__(self, tally: Tally, model: str, version: int) -> None:
        self._tally, self._labels = tally, {"model": model, "version": str(version)}
        counter, gauge = pb_utils.MetricFamily.COUNTER, pb_utils.MetricFamily.GAUGE
        self._families = {
            name: pb_utils.MetricFamily(name=f"fewstep_{name}", description=text, kind=kind)
            for kind, texts in ((counter, _COUNTERS), (gauge, _GAUGES))
            for name, text in texts.items()
        }
        self._metrics: dict[tuple[str, str], Any] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Pass on the last numbers and end."""
        self._end.set()
        self._thread.join()
        # Each tells the server of its own end, through memory that a stub gives up before it forgets its variables:
        # left until then, they crash it (24.10).
        self._metrics.clear()
        self._families.clear()

    def _run(self) -> None:
        while not self._end.wait(_SECONDS):
            self._pass_on()
        self._pass_on()

    def _pass_on(self) -> None:
        tally = self._tally
        for rows, count in list(tally.batches.items()):
            self._count("steps_total", count, rows=str(rows))
        for how, count in list(tally.ended.items()):
            self._count("pictures_total", count, ended=how)
        self._count("step_seconds_total", tally.step_seconds)
        self._count("queue_seconds_total", tally.queue_seconds)
        self._count("admitted_total", tally.admitted)
        self._count("prompts_total", tally.prompt_hits, found="hit")
        self._count("prompts_total", tally.prompt_misses, found="miss")
        self._metric("active").set(tally.active)
        self._metric("waiting").set(tally.waiting)

    def _count(self, name: str, total: float, **labels: str) -> None:
        key = name, "".join(labels.values())
        metric = self._metric(name, **labels)
        metric.increment(total - self._told.get(key, 0.0))
        self._told[key] = total

    def _metric(self, name: str, **labels: str) -> Any:
        key = name, "".join(labels.values())
        if key not in self._metrics:
            self._metrics[key] = self._families[name].Metric(labels={**self._labels, **labels})
        return self._metrics[key]
