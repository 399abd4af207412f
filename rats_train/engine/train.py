"""One rank of a training run.

    torchrun --nproc-per-node 2 -m rats_train.engine.train --recipe emoji --store runs/trajectories --out runs/training

Ends with status 0 when the student is written, 2 for a mistake in what it was given, 3 where memory ran out, and 75
when it was asked to stop (SIGTERM) and the same command will carry on.
"""

import argparse
import fcntl
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

from rats_train.config import Recipe, load_recipe
from rats_train.engine.failure import write_failure
from rats_train.engine.identity import Identity, identify
from rats_train.engine.ranks import Ranks, join_ranks
from rats_train.engine.trainer import RESULT, Trainer
from rats_train.errors import RetryableError, UserError
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


def main() -> None:
    """Command line of one rank; torchrun sets its number."""
    parser = argparse.ArgumentParser(description="Train a recipe's student (start with torchrun).")
    parser.add_argument("--recipe", required=True, help="name of a packaged recipe, or a YAML file")
    parser.add_argument("--store", type=Path, help="folder of the trajectory store")
    parser.add_argument("--out", required=True, type=Path, help="folder of this run")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        recipe = load_recipe(arguments.recipe)
        ranks = join_ranks()
        _log.setLevel(logging.INFO if ranks.first else logging.WARNING)
        train(recipe, arguments.store, arguments.out, ranks)
        dist.destroy_process_group()
    except (UserError, RetryableError) as error:
        write_failure(arguments.out, error.exit_code, str(error))
        _log.error("%s", error)
        sys.exit(error.exit_code)
    except Exception as error:
        write_failure(arguments.out, 1, "".join(traceback.format_exception_only(error)).strip())
        raise


if __name__ == "__main__":
    main()
