"""Two ranks of which one fails before what the other does with it; started by test_ranks.

torchrun --nproc-per-node 2 tests/integration/leave_together.py
"""

import pytest
import torch
import torch.distributed as dist

from rats_train.engine.ranks import Ranks
from rats_train.errors import RetryableError, UserError


def main() -> None:
    """Each rank fails once early, and both once inside."""
    dist.init_process_group("gloo")
    ranks = Ranks(dist.get_rank(), dist.get_world_size(), torch.device("cpu"))
    for failing, kind in ((0, UserError), (1, RetryableError), (None, UserError)):

        def work(failing: int | None = failing, kind: type[UserError | RetryableError] = kind) -> None:
            if ranks.rank == failing:
                raise kind(f"rank {failing}")

            def inner() -> None:
                if failing is None:
                    raise kind("both")

            ranks.together(inner)

        with pytest.raises(kind, match="both" if failing is None else f"rank {failing}"):
            ranks.together(work)
        # Were one of them a collective behind, this would be another sum, or never end.
        assert ranks.mean(torch.tensor(ranks.rank + 1.0)) == 1.5
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
