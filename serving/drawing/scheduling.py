"""Which pictures take their next denoising step together: pure bookkeeping that knows no tensor, clock or server.

A picture takes a slot when one is free, first come, first served, takes part in every step until its own last, and
gives its slot to the next in the queue. So requests of 3 and of 8 steps share batches, and join and leave mid-flight.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A picture to schedule.

    Attributes:
        id: unique among those scheduled.
        steps: denoising steps that it takes, at least one.
        rows: transformer evaluations that each of them costs: two with classifier-free guidance.
        group: only tasks of equal group step together; the LoRA adapter that they are drawn with.
    """

    id: int
    steps: int
    rows: int = 1
    group: str = ""


class StepScheduler:
    """A queue of at most ``queue_size`` tasks before slots of ``max_rows`` rows in all."""

    def __init__(self, max_rows: int, queue_size: int) -> None:
        self.max_rows, self.queue_size = max_rows, queue_size
        self._waiting: deque[Task] = deque()
        self._left: OrderedDict[Task, int] = OrderedDict()
        """Steps that each active task still has to take; those that stepped least recently first."""

    @property
    def active(self) -> list[Task]:
        """Tasks that hold a slot."""
        return list(self._left)

    @property
    def waiting(self) -> list[Task]:
        """Tasks that wait for one, longest first."""
        return list(self._waiting)

    def submit(self, task: Task) -> bool:
        """Queue ``task``; False if the queue is full (tasks for which slots are free do not count).

        Raises:
            ValueError: it has no step, or more rows than there are.
        """
        if task.steps < 1 or not 1 <= task.rows <= self.max_rows:
            raise ValueError(f"a task takes at least 1 step of 1 to {self.max_rows} rows, not {task}")
        if len(self._waiting) >= self.queue_size + self.max_rows - self._used:
            return False
        self._waiting.append(task)
        return True

    def cancel(self, task: Task) -> None:
        """Forget ``task``, waiting or active; its slot is free for the next `admit`."""
        self._left.pop(task, None)
        if task in self._waiting:
            self._waiting.remove(task)

    def admit(self) -> list[Task]:
        """Give free slots to those that have waited longest; a large task is not overtaken. Returns those admitted."""
        admitted = []
        while self._waiting and self._used + self._waiting[0].rows <= self.max_rows:
            task = self._waiting.popleft()
            self._left[task] = task.steps  # at the end: newcomers of one group cannot starve another
            admitted.append(task)
        return admitted

    def next_batch(self) -> list[Task]:
        """The tasks that step now: all active ones of the group whose turn it is; empty if none is active."""
        group = next((task.group for task in self._left), None)
        return [task for task in self._left if task.group == group]

    def advance(self, batch: list[Task]) -> list[Task]:
        """Count one step for the tasks of ``batch``; returns those that took their last and gave up their slots."""
        finished = []
        for task in batch:
            self._left[task] -= 1
            self._left.move_to_end(task)
            if not self._left[task]:
                del self._left[task]
                finished.append(task)
        return finished

    @property
    def _used(self) -> int:
        return sum(task.rows for task in self._left)
