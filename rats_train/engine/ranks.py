"""The ranks of a training run, and the few things they tell each other."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import deepspeed
import torch
import torch.distributed as dist
from torch import Tensor

from rats_train.errors import RetryableError, UserError

T = TypeVar("T")

_RENDEZVOUS_TIMEOUT = timedelta(minutes=60)


@dataclass(frozen=True)
class Ranks:
    """This rank's number, how many there are, and the device it works on."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes the records."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether any rank says so; all ranks must ask."""
        return bool(self.most(flag))

    def most(self, value: float) -> float:
        """The greatest of the ranks' values; all ranks must ask."""
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return shared.item()

    def mean(self, value: Tensor) -> float:
        """The mean over the ranks of a scalar."""
        shared = value.detach().double() / self.size
        dist.all_reduce(shared)
        return float(shared)

    def gather(self, samples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Vectors[B] over all rows of vectors[B / size] over each rank's, in the order of ranks; double, on the CPU."""
        if not samples:
            return {}
        mine = torch.stack([samples[name].detach().double() for name in samples])
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine)
        return dict(zip(samples, torch.cat(parts, dim=1).cpu(), strict=True))

    def together(self, work: Callable[[], T]) -> T:
        """Do ``work`` on every rank; where it is a known failure on any of them, it is that on all.

        Without this, one rank would leave and the others wait for it until they are killed. May be nested: whichever of
        them the ranks are in when one fails, all leave the outermost together.

        Raises:
            UserError, RetryableError: that of the first rank that raised one.
        """
        result: T | None = None
        failure: UserError | RetryableError | None = None
        try:
            result = work()
        except (UserError, RetryableError) as error:
            if error.on_all_ranks:
                raise
            failure = error
        if self.any(failure is not None):
            failures: list[UserError | RetryableError | None] = [None] * self.size
            dist.all_gather_object(failures, failure)
            shared = next(each for each in failures if each is not None)
            shared.on_all_ranks = True
            raise shared
        return result  # type: ignore[return-value]

    def from_first(self, work: Callable[[], T]) -> T:
        """Do ``work`` on the first rank and give every rank its result.

        Raises:
            UserError, RetryableError: the first rank raised it.
        """
        box: list[Any] = [self.together(lambda: work() if self.first else None)]
        dist.broadcast_object_list(box)
        value: T = box[0]
        return value


def join_ranks() -> Ranks:
    """Meet the other ranks that torchrun started: over nccl with a GPU each, else over gloo.

    Raises:
        UserError: not started by torchrun.
    """
    if "RANK" not in os.environ:
        raise UserError(
            "Start training with torchrun --nproc-per-node N -m rats_train.engine.worker, or with `rats run`."
        )
    gpu = torch.cuda.is_available()
    deepspeed.utils.logger.setLevel(logging.ERROR)
    # An empty table of ops: neither the probing of compilers at start nor a C++ build of CPU collectives is needed.
    deepspeed.ops.__compatible_ops__ = {}
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    deepspeed.init_distributed(
        "nccl" if gpu else "gloo", auto_mpi_discovery=False, verbose=False, timeout=_RENDEZVOUS_TIMEOUT
    )
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if gpu else torch.device("cpu")
    return Ranks(dist.get_rank(), dist.get_world_size(), device)
