"""What the trigger must never forget: versions of rewards that it knows, and the run that each of them started.

    ledger.add("hpsv2", 3)            # however often
    for version in ledger.waiting(): ...

A SQLite file, so every change is atomic and survives the process.
"""

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

_TABLES = """
create table if not exists versions (
    reward text not null, version integer not null, run_id text, primary key (reward, version)
);
create table if not exists deliveries (id text primary key, received real not null);
create table if not exists rewards (name text primary key);
"""
# In the place of a run's id, for versions that were there before this trigger.
BEFORE = "before this trigger"


@dataclass(frozen=True, order=True)
class Version:
    """One version of a registered reward."""

    reward: str
    number: int

    def __str__(self) -> str:
        return f"{self.reward}@{self.number}"


class Ledger:
    """The ledger in ``file``; as many processes as like may open it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as connection:
            connection.executescript(_TABLES)

    def begin(self, reward: str, existing: Iterable[int]) -> None:
        """Make known, the first time that a reward is watched, what it has already: that starts nothing."""
        with self._transaction() as connection:
            if connection.execute("insert or ignore into rewards values (?)", (reward,)).rowcount:
                rows = [(reward, number, BEFORE) for number in existing]
                connection.executemany("insert or ignore into versions values (?, ?, ?)", rows)

    def add(self, version: Version) -> None:
        """Make a version known; a known one stays as it is."""
        with self._transaction() as connection:
            self._add(connection, version)

    def receive(self, delivery: str, version: Version | None, now: float, forget_before: float) -> bool:
        """Take a delivery and the version that it tells of, both or neither; False if it has been taken before."""
        with self._transaction() as connection:
            connection.execute("delete from deliveries where received < ?", (forget_before,))
            new = connection.execute("insert or ignore into deliveries values (?, ?)", (delivery, now)).rowcount
            if version:
                self._add(connection, version)
            return bool(new)

    def waiting(self) -> list[Version]:
        """Known versions without a run, in order."""
        with self._transaction() as connection:
            rows = connection.execute("select reward, version from versions where run_id is null").fetchall()
        return sorted(Version(*row) for row in rows)

    def set_run(self, version: Version, run_id: str) -> None:
        """Note the run that a version started."""
        with self._transaction() as connection:
            connection.execute(
                "update versions set run_id = ? where reward = ? and version = ?",
                (run_id, version.reward, version.number),
            )

    @contextmanager
    def sole_starter(self) -> Iterator[None]:
        """Hold, against every other process with this file, the right to start runs; a killed holder loses it."""
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _add(connection: sqlite3.Connection, version: Version) -> None:
        connection.execute(
            "insert or ignore into versions (reward, version) values (?, ?)", (version.reward, version.number)
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=30)) as connection, connection:
            yield connection
