"""Training a recipe into a folder, once, on however many ranks."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rats_train.config import Recipe
from rats_train.engine.identity import Identity, identify
from rats_train.engine.ranks import Ranks
from rats_train.engine.trainer import RESULT, Trainer
from rats_train.files import read_json
from rats_train.methods.base import STUDENT

_log = logging.getLogger("rats_train")


def train(recipe: Recipe, store: Path | None, out: Path, ranks: Ranks) -> None:
    """Train a recipe into ``out``, or find that it is done; a second run of the same folder waits for the first.

    Raises:
        UserError: a mistake in the recipe or in what it names, numbers that are not finite, or a full disk.
        RetryableError: asked to stop.
    """
    with _alone_in(out, ranks):
        identity = ranks.from_first(lambda: identify(recipe))
        if ranks.from_first(lambda: _finished(out, identity)):
            _log.info("%s holds this student already", out)
            return
        Trainer(recipe, store, out, identity, ranks).run()


@contextmanager
def _alone_in(out: Path, ranks: Ranks) -> Iterator[None]:
    """Hold the folder's lock: a run whose launcher was killed may still be writing its last checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        if ranks.first:
            fcntl.flock(lock, fcntl.LOCK_EX)
        ranks.any(False)
        yield


def _finished(out: Path, identity: Identity) -> bool:
    if not (out / RESULT).is_file() or not (out / STUDENT).is_dir():
        return False
    return bool(read_json(out / RESULT)["key"] == identity.run)
