"""Speed and memory of the gated horizon loss: kernel, eager torch and torch.compile, on one GPU.

    python -m benchmarks.horizon_loss

Rows go to ``benchmarks/results/horizon_loss.csv``. GB/s count what has to move: forward reads student and teacher,
backward reads both again and writes the gradient; ``copy_gbps`` is what a plain copy of the student reaches on the
same GPU. ``peak_mb`` is what a call needs on top of its inputs. Compiled torch knows all shapes beforehand (mode
max-autotune; without CUDA graphs where the backward pass is timed alone, since it then runs many times on one graph).
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor
from torch._functorch import config as compiled_autograd

from benchmarks.table import exit_status, write_rows
from rats_train.errors import UserError
from rats_train.losses.horizon import GatedHorizonLoss, reference_gated_horizon_loss
from rats_train.provenance import source_commit

RESULTS = Path(__file__).parent / "results" / "horizon_loss.csv"
# [B, H, C, h, w] and, of videos, [B, H, C, T, h, w].
SHAPES = (
    (8, 3, 4, 16, 16),
    (8, 3, 16, 64, 64),
    (8, 5, 16, 128, 128),
    (1, 3, 16, 21, 60, 104),
    (4, 4, 16, 21, 90, 160),
    (7, 8, 16, 21, 90, 160),
)
DTYPES = (torch.bfloat16, torch.float32)
MODES = ("forward", "backward", "both")
PROVIDERS = ("kernel", "eager", "compile")
# Passes over latents of the student's size.
PASSES = {"forward": 2, "backward": 3, "both": 5}
OPTIONS = {"tau": 0.05, "cosine_weight": 1.0, "l2_weight": 1.0}

Loss = Callable[..., GatedHorizonLoss]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    gpu: str
    torch: str
    triton: str
    commit: str
    shape: str
    dtype: str
    mode: str
    provider: str
    ms_p20: float
    ms_p50: float
    ms_p80: float
    gbps: float
    copy_gbps: float
    peak_mb: float
    bitwise_equal: bool


def gigabytes_per_second(passes: int, shape: tuple[int, ...], dtype: torch.dtype, milliseconds: float) -> float:
    """GB/s (10^9 bytes) of ``passes`` over latents in ``milliseconds``."""
    return passes * prod(shape) * dtype.itemsize / milliseconds / 1e6


def draw_inputs(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Student (with gradient), teacher and both rewards, the same at each call."""
    generator = torch.Generator(device).manual_seed(0)
    student, teacher = (torch.randn(shape, dtype=dtype, device=device, generator=generator) for _ in range(2))
    rewards = torch.rand(2, shape[0], device=device, generator=generator)
    return student.requires_grad_(), teacher, rewards[0], rewards[1]


def kernel_loss(*inputs: Tensor, **options: float) -> GatedHorizonLoss:
    """The loss by the kernel, whatever the environment asks for."""
    from rats_train.losses.kernels import horizon as kernel

    return GatedHorizonLoss(*kernel.gated_horizon_loss(*inputs, **options))


def provide(provider: str, mode: str) -> Loss:
    """The loss as ``provider`` computes it."""
    if provider == "kernel":
        return kernel_loss
    if provider == "eager":
        return reference_gated_horizon_loss
    torch.compiler.reset()
    # Buffers given away at the first backward pass would be missing at the second.
    compiled_autograd.donated_buffer = mode != "backward"
    tuning = "max-autotune-no-cudagraphs" if mode == "backward" else "max-autotune"
    return torch.compile(reference_gated_horizon_loss, dynamic=False, fullgraph=True, mode=tuning)


def prepare(loss: Loss, inputs: tuple[Tensor, ...], mode: str) -> Callable[[], tuple[Tensor, ...]]:
    """A call of what ``mode`` measures; returns loss, gradient or both."""
    student = inputs[0]
    if mode == "backward":
        value = loss(*inputs, **OPTIONS).loss
        return lambda: torch.autograd.grad(value, student, retain_graph=True)

    def call() -> tuple[Tensor, ...]:
        torch.compiler.cudagraph_mark_step_begin()
        value = loss(*inputs, **OPTIONS).loss
        return (value,) if mode == "forward" else (value, *torch.autograd.grad(value, student))

    return call


def repeats_bitwise(call: Callable[[], tuple[Tensor, ...]]) -> bool:
    """Two calls give the same bits."""
    first = [result.detach().clone() for result in call()]
    return all(torch.equal(x, y) for x, y in zip(first, call(), strict=True))


def peak_megabytes(call: Callable[[], tuple[Tensor, ...]]) -> float:
    """MB (10^6 bytes) that a call takes at its height, on top of what is there before it."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def measure(shape: tuple[int, ...], dtype: torch.dtype) -> Iterator[Row]:
    """Every mode by every provider, on one shape."""
    import triton  # not there on every machine that imports this file
    from triton.testing import do_bench

    inputs = draw_inputs(shape, dtype, "cuda")
    copy_ms = do_bench(lambda: inputs[0].detach().clone(), quantiles=[0.5])
    for mode in MODES:
        for provider in PROVIDERS:
            call = prepare(provide(provider, mode), inputs, mode)
            equal = repeats_bitwise(call)
            peak = peak_megabytes(call)
            p50, p20, p80 = do_bench(call, quantiles=[0.5, 0.2, 0.8])
            yield Row(
                gpu=torch.cuda.get_device_name(),
                torch=torch.__version__,
                triton=triton.__version__,
                commit=source_commit(),
                shape="x".join(map(str, shape)),
                dtype=str(dtype).removeprefix("torch."),
                mode=mode,
                provider=provider,
                ms_p20=p20,
                ms_p50=p50,
                ms_p80=p80,
                gbps=gigabytes_per_second(PASSES[mode], shape, dtype, p50),
                copy_gbps=gigabytes_per_second(2, shape, dtype, copy_ms),
                peak_mb=peak,
                bitwise_equal=equal,
            )


def run() -> None:
    """Measures everything, and writes the table after each shape.

    Raises:
        UserError: there is no GPU, or too old a one.
    """
    if not torch.cuda.is_available():
        raise UserError("no GPU found: benchmarks.horizon_loss measures on CUDA or ROCm; run it on such a machine")
    rows: list[Row] = []
    for shape in SHAPES:
        for dtype in DTYPES:
            for row in measure(shape, dtype):
                rows.append(row)
                sys.stdout.write(f"{row.shape} {row.dtype} {row.mode} {row.provider}: {row.ms_p50:.3f} ms, ")
                sys.stdout.write(f"{row.gbps:.0f} of {row.copy_gbps:.0f} GB/s\n")
            write_rows(RESULTS, rows)


if __name__ == "__main__":
    sys.exit(exit_status(run))
