"""How long an endpoint is away: until health tells of it, and until service is back."""

import time
from collections.abc import Callable, Iterable

import httpx
import psutil

from tests.waiting import wait_for

TRUTH_SECONDS = 5
SERVICE_SECONDS = 30
PATIENCE = 300
"""For a machine whose cores are shared."""


class Outage:
    """One outage, from now on.

    Service has to be back in `SERVICE_SECONDS` of the wall's clock, or else of processor time: that of the processes
    that were started anew, which on a core of their own would have been ready in time.
    """

    def __init__(self, name: str, wall_clock: bool, report: Callable[[str], None]) -> None:
        self._name, self._wall_clock, self._report = name, wall_clock, report
        self._began = time.monotonic()
        self._told: float | None = None

    def told(self, http: httpx.Client) -> None:
        """Wait until health tells of it."""
        wait_for(lambda: http.get("/healthz").status_code == 503, "the truth", TRUTH_SECONDS)
        self._told = time.monotonic() - self._began

    def over(self, http: httpx.Client, started: Callable[[], Iterable[psutil.Process]]) -> None:
        """Wait until health is well again, thanks to the processes that `started` names then."""
        wait_for(lambda: http.get("/healthz").status_code == 200, "recovery", PATIENCE)
        wall = time.monotonic() - self._began
        times = [process.cpu_times() for process in started()]
        processor = sum(each.user + each.system for each in times)
        told = "" if self._told is None else f"health told after {self._told:.1f} s, "
        self._report(f"{self._name}: {told}service back after {wall:.1f} s, {processor:.1f} s of them processor time")
        assert (wall if self._wall_clock else processor) < SERVICE_SECONDS
