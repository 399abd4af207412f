"""Scheduling under any sequence of arrivals, steps and cancellations."""

from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.drawing.scheduling import StepScheduler, Task

ROWS, QUEUE = 4, 3
SHAPES = st.tuples(st.integers(1, 8), st.integers(1, 2), st.sampled_from(["", "ink", "oil"]))
EVENTS = st.lists(st.one_of(SHAPES, st.just("step"), st.integers(0, 20)), max_size=60)


def play(events):
    """Run a scheduler through events (a new task's shape, a step, or the number of a task to cancel), then empty it.

    Returns the tasks accepted, those cancelled while there, and the batches in order.
    """
    scheduler, ids, accepted, cancelled, batches = StepScheduler(ROWS, QUEUE), count(), [], [], []

    def step():
        free = ROWS - sum(task.rows for task in scheduler.active)
        waited = scheduler.waiting
        admitted = scheduler.admit()
        assert admitted == waited[: len(admitted)]  # first come, first served
        rest = waited[len(admitted) :]
        assert not rest or sum(task.rows for task in [*admitted, rest[0]]) > free  # no slot is left idle
        batch = scheduler.next_batch()
        assert bool(batch) == bool(scheduler.active)
        for task in scheduler.advance(batch):
            assert task not in scheduler.active
        batches.append(batch)

    for event in events:
        if event == "step":
            step()
        elif isinstance(event, int):
            for task in [each for each in accepted if each.id == event]:
                if task in scheduler.active or task in scheduler.waiting:
                    cancelled.append((task, len(batches)))
                scheduler.cancel(task)
        else:
            task = Task(next(ids), *event)
            free = ROWS - sum(task.rows for task in scheduler.active)
            room = len(scheduler.waiting) < QUEUE + free
            assert scheduler.submit(task) == room
            accepted += [task] * room
    while scheduler.active or scheduler.waiting:
        step()
    return accepted, cancelled, batches


@given(EVENTS)
def test_every_task_takes_its_steps_and_no_more(events):
    accepted, cancelled, batches = play(events)
    taken = {task: sum(task in batch for batch in batches) for task in accepted}
    gone = {task for task, _ in cancelled}
    for task in accepted:
        assert taken[task] < task.steps or task not in gone
        assert taken[task] == task.steps or task in gone


@given(EVENTS)
def test_a_batch_fits_and_is_of_one_group(events):
    for batch in play(events)[2]:
        assert sum(task.rows for task in batch) <= ROWS
        assert len({task.group for task in batch}) <= 1
        assert len(set(batch)) == len(batch)


@given(EVENTS)
def test_a_cancelled_task_never_steps_again(events):
    _, cancelled, batches = play(events)
    for task, when in cancelled:
        assert not any(task in batch for batch in batches[when:])


@given(EVENTS)
def test_a_task_with_a_slot_steps_again_before_long(events):
    accepted, _, batches = play(events)
    groups = len({task.group for task in accepted})
    for task in accepted:
        mine = [number for number, batch in enumerate(batches) if task in batch]
        assert all(after - before <= groups for before, after in pairwise(mine))


def test_newcomers_of_one_group_do_not_starve_another():
    scheduler = StepScheduler(max_rows=2, queue_size=9)
    patient = Task(0, 3, group="oil")
    scheduler.submit(patient)
    steps_of_patient = 0
    for number in range(1, 7):
        scheduler.submit(Task(number, 1))
        scheduler.admit()
        batch = scheduler.next_batch()
        steps_of_patient += patient in batch
        scheduler.advance(batch)
    assert steps_of_patient == 3


def test_different_step_counts_share_batches():
    scheduler = StepScheduler(max_rows=4, queue_size=0)
    long, short = Task(0, 8), Task(1, 3)
    scheduler.submit(long)
    batches = []
    for tick in range(8):
        if tick == 2:
            scheduler.submit(short)
        scheduler.admit()
        batches.append(scheduler.next_batch())
        scheduler.advance(batches[-1])
    assert [len(batch) for batch in batches] == [1, 1, 2, 2, 2, 1, 1, 1]


def test_a_slot_is_free_at_the_very_next_step_after_a_cancellation():
    scheduler = StepScheduler(max_rows=1, queue_size=1)
    first, second = Task(0, 8), Task(1, 8)
    assert scheduler.submit(first)
    scheduler.admit()
    scheduler.advance(scheduler.next_batch())
    assert scheduler.submit(second)
    assert not scheduler.submit(Task(2, 3))
    scheduler.cancel(first)
    assert scheduler.admit() == [second]
    assert scheduler.next_batch() == [second]


@pytest.mark.parametrize("task", [Task(0, 0), Task(0, 3, rows=5), Task(0, 3, rows=0)])
def test_a_task_that_could_never_be_drawn_is_refused(task):
    with pytest.raises(ValueError, match="at least 1 step of 1 to 4 rows"):
        StepScheduler(max_rows=4, queue_size=1).submit(task)
