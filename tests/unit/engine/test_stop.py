import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rats_train.engine.stop import LAUNCHER_PID, StopRequest


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    earlier = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in earlier.items():
        signal.signal(number, handler)


def test_nothing_happened() -> None:
    assert not StopRequest().requested


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_to_stop(number: signal.Signals) -> None:
    stop = StopRequest()
    os.kill(os.getpid(), number)
    assert stop.requested


def test_the_death_of_the_launcher_asks_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setenv(LAUNCHER_PID, str(launcher.pid))
    stop = StopRequest()
    assert not stop.requested
    launcher.kill()
    launcher.wait()
    assert stop.requested
