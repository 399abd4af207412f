"""The loop that draws: one thread that steps all pictures in flight together, and others that turn pixels into files.

Callers hand in a `Job` with an `Answer`, which hears of previews and of the end from the loop's threads.
"""

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serving.drawing.scheduling import StepScheduler, Task
from serving.drawing.stepping import Sample, Stepper
from serving.pictures import encode
from serving.protocol import QUEUE_SECONDS, QUEUE_SIZE, Failure, Job

_ENCODERS = 4
"""Threads that turn pixels into files and hand them over, so that no step waits for it."""

log = logging.getLogger(__name__)


class Answer(Protocol):
    """Where a picture goes."""

    def cancelled(self) -> bool:
        """Whether the caller gave up; asked before every step, so it must answer at once."""
        ...

    def show(self, step: int, picture: NDArray[np.uint8] | bytes, *, final: bool) -> None:
        """The picture, or what `step` predicts of it: pixels, or a file if the job asked for one."""
        ...

    def fail(self, failure: Failure, reason: str) -> None:
        """There will be no picture."""
        ...


@dataclass
class Tally:
    """What a loop has counted since it started."""

    batches: Counter[int] = field(default_factory=Counter)
    """Steps taken, by the number of rows in them."""
    ended: Counter[str] = field(default_factory=Counter)
    """Pictures by how they ended: drawn, or a `Failure`."""
    step_seconds: float = 0.0
    queue_seconds: float = 0.0
    admitted: int = 0
    active: int = 0
    waiting: int = 0
    prompt_hits: int = 0
    prompt_misses: int = 0


@dataclass
class _Entry:
    task: Task
    job: Job
    answer: Answer
    arrived: float
    sample: Sample | None = None


class StepLoop:
    """Draws with `stepper` until closed; `submit` may be called from any thread."""

    def __init__(self, stepper: Stepper, queue_size: int = QUEUE_SIZE) -> None:
        self._stepper, self._scheduler = stepper, StepScheduler(stepper.max_rows, queue_size)
        self._entries: dict[int, _Entry] = {}
        self._numbers, self._changed, self._closing = itertools.count(), threading.Condition(), False
        # Each picture has one of them to itself, which keeps its previews in order.
        self._encoders = [ThreadPoolExecutor(1, "encode") for _ in range(_ENCODERS)]
        self.tally = Tally()
        self._thread = threading.Thread(target=self._run, name="denoise", daemon=True)
        self._thread.start()

    def submit(self, job: Job, answer: Answer) -> None:
        """Queue a picture, or let `answer` hear at once why not."""
        number = next(self._numbers)
        try:
            entry = _Entry(Task(number, job.steps, self._stepper.rows(job), job.adapter), job, answer, time.monotonic())
        except ValueError as error:
            self._ended("refused")
            answer.fail("refused", str(error))
            return
        with self._changed:
            if not self._closing and self._scheduler.submit(entry.task):
                self._entries[number] = entry
                self._changed.notify()
                return
        self._ended("busy")
        answer.fail("busy", "Exceeds maximum queue size")

    def close(self) -> None:
        """Draw what was accepted, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        for encoder in self._encoders:
            encoder.shutdown()

    def _run(self) -> None:
        while self._wait_for_work():
            self._drop_hopeless()
            self._admit()
            self._step()
            self._count()

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not self._entries and not self._closing:
                self._changed.wait()
            return bool(self._entries)

    def _drop_hopeless(self) -> None:
        """Forget pictures whose callers gave up, and those that waited too long."""
        longest_ago = time.monotonic() - QUEUE_SECONDS
        for entry in list(self._entries.values()):
            if entry.answer.cancelled():
                self._drop(entry, "cancelled", "given up by its caller")
            elif entry.sample is None and entry.arrived < longest_ago:
                self._drop(entry, "busy", "Request timeout expired")

    def _admit(self) -> None:
        with self._changed:
            admitted = [self._entries[task.id] for task in self._scheduler.admit()]
        for entry in admitted:
            self.tally.admitted += 1
            self.tally.queue_seconds += time.monotonic() - entry.arrived
            try:
                entry.sample = self._stepper.start(entry.job)
            except Exception as error:  # whatever it is, the loop goes on
                self._went_wrong(entry, error)

    def _step(self) -> None:
        batch = self._scheduler.next_batch()
        if not batch:
            return
        entries, began = [self._entries[task.id] for task in batch], time.perf_counter()
        try:
            self._stepper.step([entry.sample for entry in entries if entry.sample is not None])
        except Exception as error:
            for entry in entries:
                self._went_wrong(entry, error)
            return
        self.tally.step_seconds += time.perf_counter() - began
        self.tally.batches[sum(task.rows for task in batch)] += 1
        with self._changed:
            finished = {task.id for task in self._scheduler.advance(batch)}
        for entry in entries:
            try:
                self._show(entry, final=entry.task.id in finished)
            except Exception as error:
                self._went_wrong(entry, error)

    def _show(self, entry: _Entry, *, final: bool) -> None:
        """Decode what there is to see of a picture; an encoder does the rest."""
        sample, job, answer = entry.sample, entry.job, entry.answer
        assert sample is not None
        if not (final or job.previews):
            return
        pixels, step = self._stepper.decode(sample), sample.step
        if final:
            self._entries.pop(entry.task.id)
            self._ended("drawn")
        self._tell(entry, lambda: answer.show(step, encode(pixels, job.format) if job.format else pixels, final=final))

    def _went_wrong(self, entry: _Entry, error: Exception) -> None:
        log.error("a picture could not be drawn", exc_info=error)
        self._drop(entry, "failed", f"{type(error).__name__}: {error}")

    def _drop(self, entry: _Entry, failure: Failure, reason: str) -> None:
        with self._changed:
            self._scheduler.cancel(entry.task)
            self._entries.pop(entry.task.id)
        self._ended(failure)
        self._tell(entry, lambda: entry.answer.fail(failure, reason))

    def _ended(self, how: str) -> None:
        with self._changed:
            self.tally.ended[how] += 1

    def _tell(self, entry: _Entry, tell: Callable[[], None]) -> None:
        self._encoders[entry.task.id % _ENCODERS].submit(_told, tell, entry.answer)

    def _count(self) -> None:
        self.tally.active, self.tally.waiting = len(self._scheduler.active), len(self._scheduler.waiting)
        self.tally.prompt_hits, self.tally.prompt_misses = self._stepper.prompt_hits


def _told(tell: Callable[[], None], answer: Answer) -> None:
    # Nobody asks a pool's thread what became of it: what goes wrong here, the caller would wait for in vain.
    try:
        tell()
    except Exception as error:
        log.exception("an answer could not be given")
        answer.fail("failed", f"{type(error).__name__}: {error}")
