"""Several recipes, one after the other, by the same ranks: the cost of starting them is paid once.

torchrun --nproc-per-node 2 tests/integration/several_runs.py STORE OUT RECIPE...
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist

from rats_train.config import load_recipe
from rats_train.engine.ranks import join_ranks
from rats_train.engine.records import read_lines
from rats_train.engine.train import train


def run_all(recipes: Sequence[Path], store: Path, out: Path, world_size: int) -> None:
    """Train every recipe into a folder of its name below ``out``, on ``world_size`` ranks of one thread."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", str(world_size), __file__, str(store), str(out), *map(str, recipes)],
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


if __name__ == "__main__":
    store, out, *recipes = sys.argv[1:]
    ranks = join_ranks()
    for recipe in recipes:
        train(load_recipe(recipe), Path(store), Path(out) / Path(recipe).stem, ranks)
    dist.destroy_process_group()
