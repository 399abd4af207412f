"""Batches on a CPU in which no picture depends on its company, to the bit.

The matrix products of a token sequence round alike in any batch, but three kinds of layers do not: linear layers over
one vector a picture, whose kernel changes with the number of pictures; activations of such vectors, whose last few
numbers take another path than those that fill a register; and convolutions. The first two get a fixed number of rows,
the last one picture at a time. All are small parts of a transformer. Whether that is enough on this processor, for
these weights, is measured when a version is loaded (`changes_no_bit`); where it is not, pictures are evaluated alone.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from serving.drawing.velocity import Evaluate, Rows, in_chunks


def isolate_rows(transformer: nn.Module, max_rows: int) -> None:
    """Let those layers round each row as if it were alone, for up to `max_rows` rows; in place."""
    for layer in transformer.modules():
        if isinstance(layer, nn.Linear | nn.SiLU | nn.GELU):
            layer.forward = partial(_with_fixed_rows, layer.forward, max_rows)  # type: ignore[method-assign]
        elif isinstance(layer, nn.Conv2d | nn.Conv3d):
            layer.forward = partial(_row_by_row, layer.forward)  # type: ignore[method-assign]


def changes_no_bit(evaluate: Evaluate, probe: Rows) -> bool:
    """Whether rows have the same bits alone and in every batch of the first so many of `probe`."""
    alone = in_chunks(evaluate, 1)(probe)
    sizes = range(2, len(probe) + 1)
    return all(torch.equal(evaluate(probe.select(slice(0, size))), alone[:size]) for size in sizes)


def _with_fixed_rows(forward: Callable[[Tensor], Tensor], count: int, x: Tensor) -> Tensor:
    if x.dim() != 2 or len(x) > count:
        return forward(x)
    return forward(torch.cat([x, x.new_zeros(count - len(x), x.shape[1])]))[: len(x)]


def _row_by_row(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([forward(row) for row in x.split(1)])
