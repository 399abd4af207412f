"""The two failures a person meets: their own mistake, and bad luck that a second try cures.

Both carry the exit status that every command ends with, so a script can tell them apart.
"""


class UserError(Exception):
    """A person's mistake: what was wrong, where, and what to write instead, in one line. Shown without a traceback."""

    exit_code = 2
    on_all_ranks = False
    """Whether every rank of a training has raised it, so that none has to be told any more."""


class RetryableError(Exception):
    """Nobody's mistake (preemption, a server that died): the same command, run again, carries on from there."""

    exit_code = 75
    on_all_ranks = False
    """As in `UserError`."""
