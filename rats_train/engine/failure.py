"""How the reason of a failure travels from a worker through torchrun, which passes on neither message nor status."""

from pathlib import Path

from rats_train.errors import KNOWN, RetryableError
from rats_train.files import read_json, write_json

FAILURE = "failure.json"
LOG = "train.log"


def write_failure(out: Path, exit_code: int, message: str) -> None:
    """Note why this rank ends, where the launcher looks."""
    write_json(out / FAILURE, {"exit_code": exit_code, "message": message})


def clear_failure(out: Path) -> None:
    """Forget the failure of an earlier attempt."""
    (out / FAILURE).unlink(missing_ok=True)


def raise_failure(out: Path) -> None:
    """Raise what a worker noted.

    Raises:
        UserError: it was a person's mistake.
        OutOfMemoryError: its memory was too small.
        RetryableError: it was stopped, or ended without a word, as a process does that was killed.
        RuntimeError: it met an error in the code.
    """
    if not (out / FAILURE).is_file():
        raise RetryableError(
            f"Training was killed from outside, perhaps for want of memory (log: {out / LOG}); "
            "run the same command again to go on from the last checkpoint."
        )
    failure = read_json(out / FAILURE)
    if failure["exit_code"] in KNOWN:
        raise KNOWN[failure["exit_code"]](failure["message"])
    raise RuntimeError(f"Training failed: {failure['message']} (log: {out / LOG})")
