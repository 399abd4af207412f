"""The two failures a person meets: their own mistake, and bad luck that a second try cures.

Both carry the exit status that every command ends with, so a script can tell them apart.
"""


class UserError(Exception):
    """A person's mistake: what was wrong, where, and what to write instead, in one line. Shown without a traceback."""

    exit_code = 2


class RetryableError(Exception):
    """Nobody's mistake (preemption, a server that died): the same command, run again, carries on from there."""

    exit_code = 75
