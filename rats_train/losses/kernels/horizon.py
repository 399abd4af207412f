"""The gated multi-horizon loss, fused: latents are read once forward and once backward, at no full-size temporary.

    L = sum_bh g_b w_h (cosine_weight (1 - cos(s_bh, t_bh)) + l2_weight |s_bh - t_bh|^2 / size) / (B H)

Two operators that torch.compile sees, ``rats::gated_horizon_loss`` and ``rats::gated_horizon_gradient``. Sums are made
in two stages, chunks and then rows, in an order that the shape alone decides.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from rats_train.losses.kernels.checks import check_inputs
from rats_train.losses.kernels.horizon_kernels import partial_sums, row_results, student_gradient, sum_terms

# As in torch.nn.functional.cosine_similarity.
EPS = 1e-8
# Eight numbers a thread: five accumulators of a chunk stay in registers. Chosen by register counts, not by timing.
BLOCK = 1024
CHUNK = 8 * BLOCK
ROW_BLOCK = 1024
ROW_WARPS = 8
ACCUMULATORS = {torch.float32: tl.float32, torch.float64: tl.float64}


def gated_horizon_loss(
    student: Tensor,
    teacher: Tensor,
    teacher_reward: Tensor,
    student_reward: Tensor,
    tau: float,
    cosine_weight: float,
    l2_weight: float,
    horizon_weights: Tensor | None = None,
    *,
    hard: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss[], distances[B, H] and gate[B], as `rats_train.losses.horizon.gated_horizon_loss` describes them.

    Only the loss carries gradient, and to the student alone; it cannot be differentiated twice. Input that is not
    contiguous is copied first.

    Raises:
        ValueError: shapes, dtypes or devices do not fit together.
    """
    check_inputs(student, teacher, teacher_reward, student_reward, horizon_weights)
    loss, distances, gate, _ = _loss(
        student.contiguous(),
        teacher.detach().contiguous(),
        teacher_reward.detach().contiguous(),
        student_reward.detach().contiguous(),
        tau,
        cosine_weight,
        l2_weight,
        None if horizon_weights is None else horizon_weights.detach().contiguous(),
        hard,
    )
    return loss, distances, gate


def _results(student: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Room for loss[], distances[B, H], gate[B] and coefficients[B, H, 3]."""
    batch, horizons = student.shape[:2]
    dtype = torch.promote_types(student.dtype, torch.float32)
    shapes: tuple[tuple[int, ...], ...] = ((), (batch, horizons), (batch,), (batch, horizons, 3))
    loss, distances, gate, coefficients = (student.new_empty(shape, dtype=dtype) for shape in shapes)
    return loss, distances, gate, coefficients


@torch.library.custom_op("rats::gated_horizon_loss", mutates_args=())
def _loss(
    student: Tensor,
    teacher: Tensor,
    teacher_reward: Tensor,
    student_reward: Tensor,
    tau: float,
    cosine_weight: float,
    l2_weight: float,
    horizon_weights: Tensor | None,
    hard: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    loss, distances, gate, coefficients = _results(student)
    rows, horizons = distances.numel(), distances.shape[1]
    size = student.numel() // rows
    chunks = triton.cdiv(size, CHUNK)
    partial = gate.new_empty(5, rows, chunks)
    terms = gate.new_empty(rows, dtype=torch.float64)
    accumulator = ACCUMULATORS[gate.dtype]
    with torch.cuda.device_of(student):
        partial_sums[(rows * chunks,)](student, teacher, partial, size, chunks, CHUNK, BLOCK, accumulator)
        row_results[(rows,)](
            *(partial, teacher_reward, student_reward, horizon_weights),
            *(distances, gate, coefficients, terms, size, chunks, horizons),
            *(tau, cosine_weight, l2_weight, hard, EPS, ROW_BLOCK, accumulator),
            num_warps=ROW_WARPS,
        )
        sum_terms[(1,)](terms, loss, rows, ROW_BLOCK, num_warps=ROW_WARPS)
    return loss, distances, gate, coefficients


@_loss.register_fake
def _(
    student: Tensor,
    teacher: Tensor,
    teacher_reward: Tensor,
    student_reward: Tensor,
    tau: float,
    cosine_weight: float,
    l2_weight: float,
    horizon_weights: Tensor | None,
    hard: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _results(student)


@torch.library.custom_op("rats::gated_horizon_gradient", mutates_args=())
def _gradient(grad_loss: Tensor, student: Tensor, teacher: Tensor, coefficients: Tensor, gate: Tensor) -> Tensor:
    grad_student = torch.empty_like(student)
    rows, horizons = coefficients.numel() // 3, coefficients.shape[1]
    size = student.numel() // rows
    blocks = triton.cdiv(size, BLOCK)
    with torch.cuda.device_of(student):
        student_gradient[(rows * blocks,)](
            *(grad_loss, student, teacher, coefficients, gate, grad_student),
            *(size, blocks, horizons, BLOCK, ACCUMULATORS[gate.dtype]),
        )
    return grad_student


@_gradient.register_fake
def _(grad_loss: Tensor, student: Tensor, teacher: Tensor, coefficients: Tensor, gate: Tensor) -> Tensor:
    return torch.empty_like(student)


def _save(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    _, distances, gate, coefficients = output
    ctx.save_for_backward(inputs[0], inputs[1], coefficients, gate)
    ctx.mark_non_differentiable(distances, gate, coefficients)


def _backward(
    ctx: torch.autograd.function.BackwardCFunction, grad_loss: Tensor, *_: Tensor
) -> tuple[Tensor | None, ...]:
    return (_gradient(grad_loss, *ctx.saved_tensors), *(None,) * 8)


_loss.register_autograd(_backward, setup_context=_save)
