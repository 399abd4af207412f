"""Votes on disk: one line each, only ever added, so that a crash loses none."""

import json
import os
import threading
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rats_train.errors import UserError


class Vote(BaseModel):
    """One decision.

    Attributes:
        voter: a random name that says nothing of the person.
        pair: row of the pictures.
        winner: digest of the preferred contestant's pixels, None for a tie.
        at: when, ISO 8601.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    voter: str
    pair: int
    winner: str | None
    at: str


class VoteLog:
    """The file of one ballot's votes; safe for the threads of one server and for readers beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, threading.Lock()

    def add(self, vote: Vote) -> None:
        """Write a vote through to the disk before returning."""
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                # A line that a crash cut short must not swallow this one.
                whole = _ends_whole(file.tell(), self.path)
                file.write(b"" if whole else b"\n")
                file.write(vote.model_dump_json().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def read(self) -> list[Vote]:
        """The votes that count: the last of each voter on each pair, in the order of the pairs' first votes.

        Raises:
            UserError: a line is no vote.
        """
        if not self.path.is_file():
            return []
        last: dict[tuple[str, int], Vote] = {}
        lines = self.path.read_text().splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                vote = Vote.model_validate_json(line)
            except ValidationError as error:
                if _cut_short(line):
                    continue
                raise UserError(
                    f"Line {number} of {self.path} is no vote: remove it, or what was done to it."
                ) from error
            last[vote.voter, vote.pair] = vote
        return list(last.values())


def _ends_whole(size: int, path: Path) -> bool:
    return size == 0 or path.read_bytes()[-1:] == b"\n"


def _cut_short(line: str) -> bool:
    """Whether a crash ended the line: what was never acknowledged to the voter is no vote."""
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return True
    return False
