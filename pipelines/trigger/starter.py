"""One new version, one run: finds versions by looking, and starts what waits.

Why not twice: a version is known once (its key in the ledger), one process at a time starts runs (a lock that dies with
its holder), and before a run is started the server is asked for one of its name, so that a process that was killed
between starting a run and noting it does not start another.
"""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from pipelines.trigger.ledger import Ledger, Version
from pipelines.trigger.settings import Settings, parameters
from rats_train.errors import RetryableError, UserError

_log = logging.getLogger("rats.trigger")


class Server(Protocol):
    """The part of `pipelines.cluster.kfp_server.PipelinesServer` that is needed here."""

    def find_run(self, name: str) -> str | None:
        """Id of the run of that name."""

    def start_run(self, name: str, package: Path, parameters: dict[str, object]) -> str:
        """Start a run; returns its id."""


def run_name(version: Version) -> str:
    """Name of the run that a version starts."""
    return f"retrain on {version}"


def look(settings: Settings, versions_of: Callable[[str], Iterable[int]], ledger: Ledger) -> None:
    """Make every version of every watched reward known; what is there at the very first look starts nothing.

    Raises:
        RetryableError: the registry did not answer.
    """
    for retraining in settings.retrain:
        numbers = list(versions_of(retraining.reward))
        ledger.begin(retraining.reward, numbers)
        for number in numbers:
            ledger.add(Version(retraining.reward, number))


def start_waiting(settings: Settings, ledger: Ledger, server: Server, package: Path) -> None:
    """Start a run for each version that waits for one; what cannot be started waits on, and keeps no other waiting."""
    with ledger.sole_starter():
        for version in ledger.waiting():
            retraining = settings.of(version.reward)
            if retraining is None:
                continue  # it is watched no more; should it be again, this version is still waiting
            name = run_name(version)
            try:
                run_id = server.find_run(name) or server.start_run(name, package, parameters(retraining, version))
            except (UserError, RetryableError) as error:
                _log.error("%s waits: %s", name, error)
                continue
            ledger.set_run(version, run_id)
            _log.info("%s: run %s", name, run_id)
