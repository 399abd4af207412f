"""Which rows a step trains on: a function of (seed, step), the same for any number of ranks."""

import torch

from rats_train.seeds import derived_seed


def epoch_order(seed: int, epoch: int, count: int) -> list[int]:
    """All ``count`` rows, shuffled for one epoch."""
    generator = torch.Generator("cpu").manual_seed(derived_seed(seed, "order", epoch))
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


def step_rows(seed: int, step: int, batch_size: int, count: int) -> list[int]:
    """The rows of global batch ``step``, cut from the epochs laid end to end: no row is dropped at an epoch's end."""
    first, last = step * batch_size, (step + 1) * batch_size
    epochs = {epoch: epoch_order(seed, epoch, count) for epoch in range(first // count, (last - 1) // count + 1)}
    return [epochs[position // count][position % count] for position in range(first, last)]


def rank_rows(rows: list[int], rank: int, world_size: int) -> list[int]:
    """The contiguous part of a global batch that one rank works on; ranks in turn give the batch in order."""
    share = len(rows) // world_size
    return rows[rank * share : (rank + 1) * share]
