import io

import pytest
from rich.console import Console

from rats_train import progress
from rats_train.progress import ProgressReport


def test_a_file_gets_a_line_now_and_then_and_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 12.0, 13.0, 14.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    out = io.StringIO()
    with ProgressReport("training", Console(file=out, width=100)) as report:
        for done in (1, 2, 3, 10, 10):
            report(done, 10, f"reward {done}")
    assert out.getvalue().splitlines() == [
        "training 1/10  reward 1",
        "training 3/10  0:42 left  reward 3",
        "training 10/10  reward 10",
    ]


def test_a_terminal_gets_a_bar() -> None:
    out = io.StringIO()
    with ProgressReport("training", Console(file=out, force_terminal=True, width=100)) as report:
        report(3, 10, "reward 3")
    assert "3/10" in out.getvalue()
    assert "reward 3" in out.getvalue()


def test_a_wait_is_told_once_to_a_file_and_counted_on_a_terminal() -> None:
    file, screen = io.StringIO(), io.StringIO()
    for console in (Console(file=file, width=100), Console(file=screen, force_terminal=True)):
        with ProgressReport("training", console) as report:
            report(3, 10)
            report.wait("a server", 2)
            report.wait("a server", 40)
    assert file.getvalue().splitlines() == ["training 3/10  ", "training waits for a server"]
    assert "waiting for a server, 40 s" in screen.getvalue()
