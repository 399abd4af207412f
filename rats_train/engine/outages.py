"""Reward servers that go away in the middle of training: keep every step, say so, and wait until they are back."""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from rats_train.config import Recipe
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import write_waiting
from rats_train.engine.stop import StopRequest
from rats_train.errors import RetryableError, UserError
from rats_train.rewards.remote.client import RewardAwayError, look

T = TypeVar("T")

OUTAGES = "outages.jsonl"
SECONDS_BETWEEN_LOOKS = 2.0

_log = logging.getLogger(__name__)


class Outages:
    """Sees to it that what needs a reward server is done, now or when the server is back. All ranks call alike.

    Args:
        recipe: says how long to wait.
        out: folder of the run, where ``outages.jsonl`` gets a line for each wait.
        ranks: the ranks of this run.
        stop: ends a wait early.
    """

    def __init__(self, recipe: Recipe, out: Path, ranks: Ranks, stop: StopRequest) -> None:
        self._steps, self._minutes = recipe.training.steps, recipe.rewards.wait_minutes
        self._out, self._ranks, self._stop = out, ranks, stop
        self._waited = 0.0
        if ranks.first:
            (out / OUTAGES).touch()

    def clock(self) -> float:
        """Seconds, as `time.monotonic`, less those that were spent waiting."""
        return time.monotonic() - self._waited

    def outlast(self, work: Callable[[], T], done: int, keep: Callable[[], None]) -> T:
        """What ``work`` returns, which is begun anew after each wait.

        Args:
            work: leaves nothing behind where it raises, and raises on all ranks alike.
            done: steps that are behind the run.
            keep: saves them; called before each wait.

        Raises:
            RetryableError: the wait was longer than the recipe allows, or someone asked to stop; all steps are kept.
            UserError: the server is back with another reward.
        """
        while True:
            try:
                return work()
            except RewardAwayError as away:
                keep()
                self._wait(away, done)

    def _wait(self, away: RewardAwayError, done: int) -> None:
        began, started = time.monotonic(), datetime.now(UTC)
        what = f"reward {away.name} at {away.url} ({away.reason})"
        _log.warning("after step %d of %d waiting for %s; all steps are kept", done, self._steps, what)
        ended = "killed"
        try:
            ended = self._watch(away, what, done, began)
        except UserError:
            ended = "another reward"
            raise
        finally:
            seconds = time.monotonic() - began
            self._waited += seconds
            self._record(away, done, started, seconds, ended)
        if ended == "stopped":
            raise RetryableError(
                f"Stopped after step {done} of {self._steps}, while waiting for {what}; run the same command again to "
                "go on from there."
            )
        if ended == "gave up":
            raise RetryableError(
                f"Waited {self._minutes:g} minutes (rewards.wait_minutes) for {what}: start it there with `rats reward "
                f"serve`, then run the same command again; it goes on after step {done} of {self._steps}."
            )
        if self._ranks.first:
            write_waiting(self._out, done, self._steps, None)
        _log.warning("reward %s answers again after %.0f seconds; going on", away.name, seconds)

    def _watch(self, away: RewardAwayError, what: str, done: int, began: float) -> str:
        """Look at the server now and then; how the wait ended."""
        while self._ranks.from_first(lambda: look(away)) is not None:
            waited = time.monotonic() - began
            if self._ranks.first:
                write_waiting(self._out, done, self._steps, what, waited)
            if self._ranks.any(self._stop.requested):
                return "stopped"
            if self._ranks.any(waited >= self._minutes * 60):
                return "gave up"
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return "answered"

    def _record(self, away: RewardAwayError, done: int, started: datetime, seconds: float, ended: str) -> None:
        if not self._ranks.first:
            return
        line = {
            "step": done,
            "reward": away.name,
            "url": away.url,
            "reason": away.reason,
            "began": started.isoformat(timespec="seconds"),
            "seconds": round(seconds, 1),
            "ended": ended,
        }
        with (self._out / OUTAGES).open("a") as file:
            file.write(json.dumps(line) + "\n")
