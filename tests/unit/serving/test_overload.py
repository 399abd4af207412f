"""Four times as many requests as can be drawn, counted in steps: what a machine without delays of its own would do."""

import random
from contextlib import ExitStack

import pytest

from serving.drawing.scheduling import StepScheduler, Task
from serving.gateway.errors import ApiError
from serving.gateway.limits import Limits
from serving.protocol import MAX_ROWS, QUEUE_SIZE

MIX, STEPS, STEP_SECONDS = (3, 5, 8), 4000, 0.04
PACE = 4 * MAX_ROWS / (sum(MIX) / len(MIX))
"""Requests that come in the time of one step."""


@pytest.fixture(scope="module")
def scene():
    """Steps from request to picture for all that were let in; the share that was refused; how many slots steps used."""
    limits, scheduler = Limits(lambda: number / PACE * STEP_SECONDS), StepScheduler(MAX_ROWS, QUEUE_SIZE)
    rng, waiting, took, used, refused, number = random.Random(0), {}, [], [], 0, 0
    for step in range(STEPS):
        scheduler.admit()
        batch = scheduler.next_batch()
        used.append(len(batch))
        while number / PACE < step + 1:
            room = ExitStack()
            try:
                room.enter_context(limits.admitted(None, "student", 1, MAX_ROWS))
                assert scheduler.submit(Task(number, rng.choice(MIX)))
                waiting[number] = number / PACE, room
            except ApiError:
                refused += 1
            number += 1
        for task in scheduler.advance(batch):
            arrived, room = waiting.pop(task.id)
            room.close()
            took.append(step + 1 - arrived)
    return sorted(took), refused / number, used


def test_who_is_let_in_has_the_picture_within_twice_the_time_that_it_takes_alone(scene):
    took, refused, _ = scene
    assert took[len(took) * 99 // 100] < 1.6 * max(MIX)
    assert refused == pytest.approx(0.75, abs=0.02)


def test_refusing_leaves_no_slot_empty(scene):
    _, _, used = scene
    assert sum(used) > 0.99 * MAX_ROWS * STEPS
