"""Progress for people: a bar with the time left on a terminal, a line now and then where output goes to a file."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0


class ProgressReport:
    """Called with (done, total, note); use it as a context.

    with ProgressReport("trajectories") as report:
        generate(recipe, out, lambda done, total, reward: report(done, total, f"reward {reward:.3f}"))
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title = title
        self._console = console or Console()
        self._bar = Progress(
            TextColumn(title),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
        )
        self._task = self._bar.add_task(title, total=None, note="")
        self._first: tuple[float, int] | None = None
        self._last_line = (float("-inf"), -1)
        self._waiting = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Show that ``done`` of ``total`` is finished."""
        self._waiting = ""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done, total=total, note=note)
            return
        now = time.monotonic()
        self._first = self._first or (now, done)
        shown, shown_done = self._last_line
        if done != shown_done and (done == total or now - shown >= _SECONDS_BETWEEN_LINES):
            self._last_line = (now, done)
            self._console.print(
                f"{self._title} {done}/{total}{self._time_left(now, done, total)}  {note}", highlight=False
            )

    def wait(self, what: str, seconds: int) -> None:
        """Show that nothing has moved for ``seconds``, for want of ``what``; in a file, once."""
        if self._console.is_terminal:
            self._bar.update(self._task, note=f"waiting for {what}, {seconds} s")
        elif what != self._waiting:
            self._console.print(f"{self._title} waits for {what}", highlight=False, markup=False)
        self._waiting = what

    def _time_left(self, now: float, done: int, total: int) -> str:
        start, before = self._first or (now, done)
        if done in (before, total):
            return ""
        seconds = round((now - start) / (done - before) * (total - done))
        return f"  {seconds // 60}:{seconds % 60:02d} left"
