"""Two trainings of a recipe with a remote reward; in the second, one rank loses the server where the other does not.

torchrun --nproc-per-node 2 tests/integration/outage_on_one_rank.py STORE OUT RECIPE
"""

import sys
from pathlib import Path
from typing import Any

import torch.distributed as dist

from rats_train.config import load_recipe
from rats_train.engine.ranks import join_ranks
from rats_train.engine.train import train
from rats_train.rewards.remote.client import RewardAwayError, RewardClient

LOST = 3  # of the requests of the second training


def main() -> None:
    """Both trainings."""
    store, out, recipe = sys.argv[1:]
    ranks = join_ranks()
    train(load_recipe(recipe), Path(store), Path(out) / "whole", ranks)
    ask, asked = RewardClient.ask, []

    def lossy(self: RewardClient, *words: Any, **more: Any) -> Any:
        asked.append(words)
        if ranks.first and len(asked) == LOST:
            raise RewardAwayError(self._name, self._url, self._digest, "the cable was pulled")
        return ask(self, *words, **more)

    RewardClient.ask = lossy  # type: ignore[method-assign]
    train(load_recipe(recipe), Path(store), Path(out) / "torn", ranks)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
