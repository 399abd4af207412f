"""One rank of a training run.

    torchrun --nproc-per-node 2 -m rats_train.engine.worker --recipe emoji --store runs/trajectories --out runs/training

Ends with status 0 when the student is written, 2 for a mistake in what it was given, 3 where memory ran out, and 75
when it was asked to stop (SIGTERM) and the same command will carry on.
"""

import argparse
import logging
import sys
import traceback
from pathlib import Path

from rats_train.engine.failure import write_failure
from rats_train.errors import RetryableError, UserError

_log = logging.getLogger("rats_train")


def main() -> None:
    """Command line of one rank; torchrun sets its number."""
    parser = argparse.ArgumentParser(description="Train a recipe's student (start with torchrun).")
    parser.add_argument("--recipe", required=True, help="name of a packaged recipe, or a YAML file")
    parser.add_argument("--store", type=Path, help="folder of the trajectory store")
    parser.add_argument("--out", required=True, type=Path, help="folder of this run")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        _train(arguments.recipe, arguments.store, arguments.out)
    except (UserError, RetryableError) as error:
        write_failure(arguments.out, error.exit_code, str(error))
        _log.error("%s", error)
        sys.exit(error.exit_code)
    except Exception as error:
        write_failure(arguments.out, 1, "".join(traceback.format_exception_only(error)).strip())
        raise


def _train(name: str, store: Path | None, out: Path) -> None:
    # Imported here, where what cannot be imported is noted like any other failure.
    import torch.distributed as dist

    from rats_train.config import load_recipe
    from rats_train.engine.ranks import join_ranks
    from rats_train.engine.train import train

    recipe = load_recipe(name)
    ranks = join_ranks()
    _log.setLevel(logging.INFO if ranks.first else logging.WARNING)
    train(recipe, store, out, ranks)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
