"""The failures a person meets: their own mistake, memory that is too small, and bad luck that a second try cures.

All carry the exit status that every command ends with, so a script can tell them apart.
"""


class UserError(Exception):
    """A person's mistake: what was wrong, where, and what to write instead, in one line. Shown without a traceback."""

    exit_code = 2
    on_all_ranks = False
    """Whether every rank of a training has raised it, so that none has to be told any more."""


class OutOfMemoryError(UserError):
    """Too much was asked of a machine's memory: the same command would run out of it again."""

    exit_code = 3


class RetryableError(Exception):
    """Nobody's mistake (preemption, a server that died): the same command, run again, carries on from there."""

    exit_code = 75
    on_all_ranks = False
    """As in `UserError`."""


KNOWN: dict[int, type[UserError] | type[RetryableError]] = {
    kind.exit_code: kind for kind in (UserError, OutOfMemoryError, RetryableError)
}
"""What a status means, for whoever only sees how a process ended."""
