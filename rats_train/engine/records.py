"""What a run leaves behind while it goes: one line a step, one line a sample, and how far it has come."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rats_train.evaluation.watched import WATCH
from rats_train.files import atomic_write_text, read_json, write_json

METRICS = "metrics.jsonl"
SAMPLES = "samples.jsonl"
PROGRESS = "progress.json"

_SECONDS_BETWEEN_PROGRESS = 1.0


class Records:
    """The record files of a run of ``steps`` steps that has ``done`` of them behind it.

    Lines of steps after ``done`` belong to a run that was cut off before its next checkpoint; they are dropped,
    because those steps are about to be made again; a run that begins anew keeps none.
    """

    def __init__(self, out: Path, done: int, steps: int) -> None:
        self._out, self._steps = out, steps
        self._seconds: list[float] = []
        self._last_progress = float("-inf")
        out.mkdir(parents=True, exist_ok=True)
        for name in (METRICS, SAMPLES, WATCH):
            kept = [line for line in read_lines(out / name) if line["step"] <= done] if done else []
            atomic_write_text(out / name, "".join(json.dumps(line) + "\n" for line in kept))

    def add(self, metrics: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        """Record one step: ``metrics`` with at least ``step`` (counted from 1) and ``seconds``, and its samples."""
        self._append(METRICS, [metrics])
        self._append(SAMPLES, samples)
        self._seconds.append(metrics["seconds"])
        self._write_progress(metrics)

    def _append(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        with (self._out / name).open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def _write_progress(self, metrics: Mapping[str, Any]) -> None:
        now, left = time.monotonic(), self._steps - metrics["step"]
        if left and now - self._last_progress < _SECONDS_BETWEEN_PROGRESS:
            return
        self._last_progress = now
        recent = self._seconds[-50:]
        progress = {
            "step": metrics["step"],
            "steps": self._steps,
            "eta_seconds": round(left * sum(recent) / len(recent), 1),
            "reward_student": metrics.get("reward_student"),
            "reward_teacher": metrics.get("reward_teacher"),
        }
        write_json(self._out / PROGRESS, progress)


def write_waiting(out: Path, done: int, steps: int, what: str | None, seconds: float = 0.0) -> None:
    """Say in the run's progress that after ``done`` of ``steps`` it has been waiting for ``what``, and how long.

    None says that it waits no more.
    """
    unknown = {"step": done, "steps": steps, "eta_seconds": None, "reward_student": None, "reward_teacher": None}
    now = read_json(out / PROGRESS) if (out / PROGRESS).is_file() else unknown
    moving = {name: value for name, value in now.items() if name not in ("waiting_for", "waiting_seconds")}
    waiting = {"eta_seconds": None, "waiting_for": what, "waiting_seconds": round(seconds)} if what else {}
    # Quick steps do not each write their progress, so what it says of the step may be old.
    write_json(out / PROGRESS, moving | {"step": done} | waiting)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a record file; a last one that was cut off while being written is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text().splitlines(keepends=True):
        if text.endswith("\n"):
            lines.append(json.loads(text))
    return lines
