"""The loop with a stand-in for the student: who is answered what, and when."""

import threading
from dataclasses import dataclass

import numpy as np
import pytest

from serving.drawing import loop as loops
from serving.drawing.loop import StepLoop
from serving.protocol import Job

ROWS = 2


@dataclass
class Sample:
    job: Job
    step: int = 0


class Stepper:
    """Steps when the test says so; a prompt that begins with "bad" fails where its second word says."""

    max_rows, prompt_hits = ROWS, (0, 0)

    def __init__(self):
        self.go, self.batches = threading.Semaphore(0), []

    def rows(self, job):
        if job.steps > 8:
            raise ValueError("too many steps")
        return 1

    def start(self, job):
        if job.prompt == "bad start":
            raise RuntimeError("no start")
        return Sample(job)

    def step(self, samples):
        assert self.go.acquire(timeout=10)
        self.batches.append([sample.job.prompt for sample in samples])
        if any(sample.job.prompt == "bad step" for sample in samples):
            raise RuntimeError("no step")
        for sample in samples:
            sample.step += 1

    def decode(self, sample):
        if sample.job.prompt == "bad decode":
            raise RuntimeError("no picture")
        return np.full((4, 4, 3), sample.step, np.uint8)


class Answer:
    def __init__(self):
        self.gave_up, self.shown, self.failure, self.over = False, [], None, threading.Event()

    def cancelled(self):
        return self.gave_up

    def show(self, step, picture, *, final):
        self.shown.append((step, picture, final))
        if final:
            self.over.set()

    def fail(self, failure, reason):
        self.failure = failure, reason
        self.over.set()


@pytest.fixture
def stepper():
    return Stepper()


@pytest.fixture
def loop(stepper):
    made = StepLoop(stepper, queue_size=1)
    yield made
    for _ in range(99):
        stepper.go.release()
    made.close()


def ask(loop, *args, **more):
    answer = Answer()
    loop.submit(Job(*args, **more), answer)
    return answer


def wait(answer):
    assert answer.over.wait(10)
    return answer


def until(condition):
    ticking = threading.Event()
    for _ in range(500):
        if condition():
            return
        ticking.wait(0.01)
    raise AssertionError("it never came true")


def test_a_cancelled_picture_is_out_before_the_next_step(loop, stepper):
    answers = [ask(loop, "a", 0, 8), ask(loop, "b", 0, 8)]
    stepper.go.release()
    until(lambda: len(stepper.batches) == 1)
    waiting = ask(loop, "c", 0, 3)
    answers[0].gave_up = True
    stepper.go.release()  # the step that had begun
    stepper.go.release()
    until(lambda: len(stepper.batches) == 3)
    assert stepper.batches[2] == ["b", "c"]
    assert wait(answers[0]).failure == ("cancelled", "given up by its caller")
    assert not waiting.over.is_set()


def test_previews_come_in_order_and_the_picture_last(loop, stepper):
    for _ in range(8):
        stepper.go.release()
    answer = wait(ask(loop, "a", 0, 8, previews=True))
    assert [(step, final) for step, _, final in answer.shown] == [*((step, False) for step in range(1, 8)), (8, True)]


def test_a_format_gives_files(loop, stepper):
    for _ in range(3):
        stepper.go.release()
    ((_, picture, _),) = wait(ask(loop, "a", 0, 3, format="png")).shown
    assert picture.startswith(b"\x89PNG")


def test_encoding_does_not_hold_up_the_next_step(loop, stepper, monkeypatch):
    stuck = threading.Event()
    monkeypatch.setattr(loops, "encode", lambda *_: stuck.wait(10))
    slow = ask(loop, "a", 0, 3, format="png")
    for _ in range(6):
        stepper.go.release()
    until(lambda: len(stepper.batches) == 3)
    wait(ask(loop, "b", 0, 3))
    assert not slow.over.is_set()
    stuck.set()
    wait(slow)


def test_a_file_that_cannot_be_made_is_told(loop, stepper, monkeypatch):
    monkeypatch.setattr(loops, "encode", lambda *_: 1 / 0)
    for _ in range(3):
        stepper.go.release()
    assert wait(ask(loop, "a", 0, 3, format="png")).failure == ("failed", "ZeroDivisionError: division by zero")


@pytest.mark.parametrize("where", ["start", "step", "decode"])
def test_a_failure_ends_one_picture_and_not_the_loop(loop, stepper, where):
    for _ in range(9):
        stepper.go.release()
    failure, reason = wait(ask(loop, f"bad {where}", 0, 3)).failure
    assert (failure, reason[:14]) == ("failed", "RuntimeError: ")
    assert wait(ask(loop, "good", 0, 3)).failure is None


def test_what_cannot_be_drawn_is_refused_at_once(loop):
    assert wait(ask(loop, "a", 0, 9)).failure == ("refused", "too many steps")


def test_a_full_queue_refuses_at_once(loop, stepper):
    answers = [ask(loop, "a", 0, 8) for _ in range(ROWS)]
    until(lambda: loop.tally.admitted == ROWS)
    answers.append(ask(loop, "b", 0, 8))
    assert wait(ask(loop, "c", 0, 8)).failure == ("busy", "Exceeds maximum queue size")
    assert not any(answer.over.is_set() for answer in answers)


def test_a_picture_that_waits_too_long_is_refused(loop, stepper, monkeypatch):
    monkeypatch.setattr(loops, "QUEUE_SECONDS", -1)
    for _ in range(ROWS):
        ask(loop, "a", 0, 8)
    until(lambda: loop.tally.admitted == ROWS or loop.tally.ended["busy"])
    answer = ask(loop, "late", 0, 3)
    stepper.go.release()
    assert wait(answer).failure == ("busy", "Request timeout expired")


def test_closing_draws_what_was_accepted(stepper):
    loop = StepLoop(stepper)
    answer = ask(loop, "a", 0, 3)
    for _ in range(3):
        stepper.go.release()
    loop.close()
    assert answer.shown[-1][2]
    assert wait(ask(loop, "b", 0, 3)).failure == ("busy", "Exceeds maximum queue size")


def test_the_tally_counts_steps_by_rows_and_ends(loop, stepper):
    answers = [ask(loop, "a", 0, 3), ask(loop, "b", 0, 5)]
    for _ in range(8):
        stepper.go.release()
    for answer in answers:
        wait(answer)
    until(lambda: loop.tally.active == 0)
    assert sum(rows * count for rows, count in loop.tally.batches.items()) == 3 + 5
    assert loop.tally.ended == {"drawn": 2}
    assert loop.tally.queue_seconds >= 0
