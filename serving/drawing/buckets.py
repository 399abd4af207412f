"""Batches on a GPU: a few fixed sizes, each with a CUDA graph of its own, so that a step costs one launch.

A batch is padded to the next size. Kernels differ between sizes and so do bits: a picture depends on its company within
the tolerance that holds against stock diffusers.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from serving.drawing.velocity import Evaluate, Rows

Capture = Callable[[Callable[[], Tensor]], Callable[[], Tensor]]
"""Makes of a computation on fixed tensors one that repeats it on what they hold then."""


class Buckets:
    """Evaluations at fixed sizes; all of them are captured here and now, from rows like `row`."""

    def __init__(self, evaluate: Evaluate, sizes: Sequence[int], row: Rows, capture: Capture) -> None:
        self._captured: dict[int, tuple[Rows, Callable[[], Tensor]]] = {}
        for size in sorted(sizes, reverse=True):  # the largest first: the others fit into its memory
            inputs = _padded(row, size)
            self._captured[size] = inputs, capture(partial(evaluate, inputs))

    def __call__(self, rows: Rows) -> Tensor:
        """Velocity[R, ...] of at most as many rows as the largest size has."""
        size = min(size for size in self._captured if size >= len(rows))
        inputs, repeat = self._captured[size]
        for fixed, given in zip(inputs.tensors(), _padded(rows, size).tensors(), strict=True):
            fixed.copy_(given)
        return repeat()[: len(rows)].clone()


def bucket_sizes(max_rows: int) -> list[int]:
    """Powers of two below `max_rows`, and `max_rows` itself."""
    return [*(1 << power for power in range((max_rows - 1).bit_length())), max_rows]


def cuda_graph(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Capture `compute` in a CUDA graph, after the warm-up on a side stream that capturing asks for."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            compute()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = compute()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay


def _padded(rows: Rows, size: int) -> Rows:
    """The rows, and the last one again until there are `size`; copies, even if there is nothing to pad."""
    return rows.select(torch.arange(size, device=rows.latents.device).clamp(max=len(rows) - 1))
