"""Several recipes, one after the other, by the same ranks: the cost of starting them is paid once.

torchrun --nproc-per-node 2 tests/integration/several_runs.py STORE OUT RECIPE...
"""

import sys
from pathlib import Path

import torch.distributed as dist

from rats_train.config import load_recipe
from rats_train.engine.ranks import join_ranks
from rats_train.engine.train import train

if __name__ == "__main__":
    store, out, *recipes = sys.argv[1:]
    ranks = join_ranks()
    for recipe in recipes:
        train(load_recipe(recipe), Path(store), Path(out) / Path(recipe).stem, ranks)
    dist.destroy_process_group()
