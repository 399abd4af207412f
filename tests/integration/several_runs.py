"""Several recipes, one after the other, by ranks that are forked from one process: what they import is imported once.

python tests/integration/several_runs.py STORE OUT WORLD_SIZE KILLED RECIPE...
"""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from rats_train.config import load_recipe
from rats_train.engine import roles
from rats_train.engine.ranks import join_ranks
from rats_train.engine.records import read_lines
from rats_train.engine.train import train
from rats_train.engine.trainer import Trainer

PATIENCE = 300
"""Seconds after which a rank that has not come so far will not come."""
_fork = multiprocessing.get_context("fork")


def run_all(recipes: Sequence[Path], store: Path, out: Path, world_size: int, killed_after: int = 0) -> None:
    """Train every recipe into a folder of its name below ``out``, on ``world_size`` ranks of one thread.

    With ``killed_after``, all ranks of each are killed at the end of that step, before a checkpoint of it, and the
    recipe is trained once more by new ones.
    """
    arguments = [store, out, world_size, killed_after, *recipes]
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def losses(out: Path) -> torch.Tensor:
    """The loss of every step that a training recorded, of all roles that learned in it together."""
    lines = read_lines(out / "metrics.jsonl")
    roles = [[line[name] for name in ("loss", "fake_score_loss") if name in line] for line in lines]
    return torch.tensor([sum(of_one) for of_one in roles], dtype=torch.double)


def _start(
    recipe: Path, store: Path, out: Path, world_size: int, killed_after: int, here: Barrier
) -> list[BaseProcess]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world_size)}
    ranks = []
    for rank in range(world_size):
        environment = meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        arguments = recipe, store, out / recipe.stem, environment, killed_after, here
        ranks.append(_fork.Process(target=_train, args=arguments))
        ranks[-1].start()
    return ranks


def _train(recipe: Path, store: Path, out: Path, environment: dict[str, str], killed_after: int, here: Barrier) -> None:
    os.environ |= environment
    _cut_up_small_parameters()
    if killed_after:
        _wait_to_be_killed(killed_after, here)
    train(load_recipe(str(recipe)), store, out, join_ranks())
    dist.destroy_process_group()


def _cut_up_small_parameters() -> None:
    """ZeRO-3 would leave all those of the tiny models whole."""
    config = roles._config

    def cutting(*arguments: Any) -> dict[str, Any]:
        found = config(*arguments)
        if found["zero_optimization"]["stage"] == 3:
            found["zero_optimization"]["stage3_param_persistence_threshold"] = 0
        return found

    roles._config = cutting


def _wait_to_be_killed(step: int, here: Barrier) -> None:
    keep = Trainer._keep

    def wait(trainer: Trainer, done: int) -> None:
        if done == step:
            here.wait()
            signal.pause()
        keep(trainer, done)

    Trainer._keep = wait  # type: ignore[method-assign]


def _kill(recipe: Path, store: Path, out: Path, world_size: int, step: int) -> None:
    here = _fork.Barrier(world_size + 1, timeout=PATIENCE)
    ranks = _start(recipe, store, out, world_size, step, here)
    here.wait()
    for rank in ranks:
        rank.kill()
        rank.join()


def main() -> None:
    """Train them all; a rank that fails has said why, and ends it."""
    store, out, *numbers = sys.argv[1:5]
    world_size, killed_after = map(int, numbers)
    for recipe in map(Path, sys.argv[5:]):
        arguments = recipe, Path(store), Path(out), world_size
        if killed_after:
            _kill(*arguments, killed_after)
        ranks = _start(*arguments, 0, _fork.Barrier(1))
        for rank in ranks:
            rank.join(PATIENCE)
        if any(rank.exitcode for rank in ranks):
            for rank in ranks:
                rank.kill()
            sys.exit(f"{recipe.stem}: the ranks ended with {[rank.exitcode for rank in ranks]}")


if __name__ == "__main__":
    main()
