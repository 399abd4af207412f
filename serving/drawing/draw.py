"""Pictures from a packaged student outside any server, by the very steps that the server takes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.drawing.scheduling import StepScheduler, Task
from serving.drawing.stepping import Sample, Stepper
from serving.protocol import Job


def draw(stepper: Stepper, jobs: Sequence[Job]) -> list[NDArray[np.uint8]]:
    """Pixels uint8[H, W, 3] of each job, of a video uint8[T, H, W, 3], in order, as many at a time as fit a step.

    Raises:
        ValueError: the student cannot draw one of them.
    """
    scheduler = StepScheduler(stepper.max_rows, len(jobs))
    for number, job in enumerate(jobs):
        scheduler.submit(Task(number, job.steps, stepper.rows(job), job.adapter))
    samples: dict[int, Sample] = {}
    pictures: dict[int, NDArray[np.uint8]] = {}
    while scheduler.active or scheduler.waiting:
        samples |= {task.id: stepper.start(jobs[task.id]) for task in scheduler.admit()}
        batch = scheduler.next_batch()
        stepper.step([samples[task.id] for task in batch])
        pictures |= {task.id: stepper.decode(samples.pop(task.id)) for task in scheduler.advance(batch)}
    return [pictures[number] for number in range(len(jobs))]
