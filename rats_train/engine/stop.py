"""When to stop early: on a signal, or when whoever started this process is gone."""

import os
import signal
from types import FrameType

LAUNCHER_PID = "RATS_LAUNCHER_PID"
"""Environment variable by which `rats_train.engine.launch` tells its workers whom they work for."""


class StopRequest:
    """Set by SIGTERM or SIGINT, and by the death of torchrun or of the launcher: nobody would collect the result.

    Without the latter, a killed launcher would leave workers behind that go on writing beside its successor's.
    """

    def __init__(self) -> None:
        self._signalled = False
        self._parent = os.getppid()
        self._launcher = int(os.environ.get(LAUNCHER_PID, self._parent))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True

    @property
    def requested(self) -> bool:
        """Whether to save and leave."""
        return self._signalled or os.getppid() != self._parent or not _alive(self._launcher)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
