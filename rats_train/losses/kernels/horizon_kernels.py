"""The four kernels of the gated horizon loss, as they run on the device.

Legend: rows = B * H pairs of latents, ``size`` numbers each, cut into ``chunks`` pieces of CHUNK numbers; s student,
t teacher. Latents are summed in ACC (float32; float64 for float64 latents), sums of chunks in float64.

Every number of programs, and every order in which they add, follows from the shape alone, and nothing is added
atomically: the same input gives the same bits, on each run and each device of a kind.
"""

import triton
import triton.language as tl


@triton.jit
def partial_sums(
    student_ptr: tl.tensor,
    teacher_ptr: tl.tensor,
    partial_ptr: tl.tensor,
    size: tl.tensor,
    chunks: tl.tensor,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """partial[5, rows, chunks]: s.s, t.t, s.t, |s - t|^2 and s.(s - t) of one chunk a program."""
    program = tl.program_id(0).to(tl.int64)
    row = program // chunks
    start = (program % chunks) * CHUNK
    s_s = tl.zeros((BLOCK,), ACC)
    t_t = tl.zeros((BLOCK,), ACC)
    s_t = tl.zeros((BLOCK,), ACC)
    d_d = tl.zeros((BLOCK,), ACC)
    s_d = tl.zeros((BLOCK,), ACC)
    for first in range(start, tl.minimum(start + CHUNK, size), BLOCK):
        offsets = first + tl.arange(0, BLOCK)
        s = tl.load(student_ptr + row * size + offsets, mask=offsets < size, other=0.0).to(ACC)
        t = tl.load(teacher_ptr + row * size + offsets, mask=offsets < size, other=0.0).to(ACC)
        d = s - t
        s_s += s * s
        t_t += t * t
        s_t += s * t
        d_d += d * d
        s_d += s * d
    programs = tl.num_programs(0).to(tl.int64)
    tl.store(partial_ptr + program, tl.sum(s_s, axis=0))
    tl.store(partial_ptr + programs + program, tl.sum(t_t, axis=0))
    tl.store(partial_ptr + 2 * programs + program, tl.sum(s_t, axis=0))
    tl.store(partial_ptr + 3 * programs + program, tl.sum(d_d, axis=0))
    tl.store(partial_ptr + 4 * programs + program, tl.sum(s_d, axis=0))


@triton.jit
def _row_sums(partial_ptr: tl.tensor, row: tl.tensor, chunks: tl.tensor, BLOCK: tl.constexpr) -> tl.tuple:
    """The five sums of a row over its chunks, in float64."""
    kind = tl.num_programs(0).to(tl.int64) * chunks
    s_s = tl.zeros((BLOCK,), tl.float64)
    t_t = tl.zeros((BLOCK,), tl.float64)
    s_t = tl.zeros((BLOCK,), tl.float64)
    d_d = tl.zeros((BLOCK,), tl.float64)
    s_d = tl.zeros((BLOCK,), tl.float64)
    for first in range(0, chunks, BLOCK):
        offsets = first + tl.arange(0, BLOCK)
        inside = offsets < chunks
        at = partial_ptr + row * chunks + offsets
        s_s += tl.load(at, mask=inside, other=0.0)
        t_t += tl.load(at + kind, mask=inside, other=0.0)
        s_t += tl.load(at + 2 * kind, mask=inside, other=0.0)
        d_d += tl.load(at + 3 * kind, mask=inside, other=0.0)
        s_d += tl.load(at + 4 * kind, mask=inside, other=0.0)
    return tl.sum(s_s, axis=0), tl.sum(t_t, axis=0), tl.sum(s_t, axis=0), tl.sum(d_d, axis=0), tl.sum(s_d, axis=0)


@triton.jit
def _cosine(
    s_s: tl.tensor, t_t: tl.tensor, s_t: tl.tensor, d_d: tl.tensor, s_d: tl.tensor, EPS: tl.constexpr
) -> tl.tuple:
    """1 - cos, and the a, b, c of its gradient by s: a s + b t + c (s - t).

    With norms S and T, each at least EPS as in torch.nn.functional.cosine_similarity, whose gradient knows no clamp:

        far apart:  1 - cos = 1 - s.t / (S T),                          a = s.t / (S^2 T |s|),  b = -1 / (S T),  c = 0
        close:      1 - cos = (|s - t|^2 - (S - T)^2) / (2 S T),        a = -s.(s - t) / (S^3 T),  b = 0,  c = 1 / (S T)

    Both are the same numbers. Close to each other the first subtracts nearly equal ones, in value and gradient; the
    second does not, with S - T = (2 s.(s - t) - |s - t|^2) / (S + T). Far apart it is the other way round.
    """
    length = tl.sqrt(s_s)
    s_norm = tl.maximum(length, EPS)
    t_norm = tl.maximum(tl.sqrt(t_t), EPS)
    inverse = 1.0 / (s_norm * t_norm)
    close = (d_d < 0.25 * s_s) & (s_s > EPS * EPS) & (t_t > EPS * EPS)
    change = (2.0 * s_d - d_d) / (s_norm + t_norm)
    value = tl.where(close, 0.5 * (d_d - change * change) * inverse, 1.0 - s_t * inverse)
    by_length = tl.where(length > 0, length, float("inf"))
    a = tl.where(close, -s_d / (s_norm * s_norm), s_t / (s_norm * by_length)) * inverse
    return value, a, tl.where(close, 0.0, -inverse), tl.where(close, inverse, 0.0)


@triton.jit
def row_results(
    partial_ptr: tl.tensor,
    teacher_reward_ptr: tl.tensor,
    student_reward_ptr: tl.tensor,
    weight_ptr: tl.tensor,
    distance_ptr: tl.tensor,
    gate_ptr: tl.tensor,
    coefficient_ptr: tl.tensor,
    term_ptr: tl.tensor,
    size: tl.tensor,
    chunks: tl.tensor,
    horizons: tl.tensor,
    tau: tl.float64,
    cosine_weight: tl.float64,
    l2_weight: tl.float64,
    HARD: tl.constexpr,
    EPS: tl.constexpr,
    BLOCK: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """distance[rows], gate[B], coefficient[rows, 3] of the gradient and term[rows] of the loss, one row a program."""
    row = tl.program_id(0).to(tl.int64)
    rows = tl.num_programs(0)
    s_s, t_t, s_t, d_d, s_d = _row_sums(partial_ptr, row, chunks, BLOCK)
    value, a, b, c = _cosine(s_s, t_t, s_t, d_d, s_d, EPS)
    distance = cosine_weight * value + l2_weight * (d_d / size)

    sample = row // horizons
    teacher_reward = tl.load(teacher_reward_ptr + sample).to(tl.float64)
    student_reward = tl.load(student_reward_ptr + sample).to(tl.float64)
    if HARD:
        gate = (teacher_reward > student_reward).to(ACC)
    else:
        # Rounded before it is added to 1, so that the gate closes where torch.sigmoid closes: where exp overflows ACC.
        gate = 1.0 / (1.0 + tl.exp((student_reward - teacher_reward) / tau).to(ACC))
    tl.store(distance_ptr + row, distance)
    tl.store(gate_ptr + sample, gate, mask=row % horizons == 0)

    scale = gate.to(tl.float64) / rows
    if weight_ptr is not None:
        scale *= tl.load(weight_ptr + row % horizons).to(tl.float64)
    tl.store(term_ptr + row, tl.where(gate == 0, 0.0, scale * distance))
    tl.store(coefficient_ptr + 3 * row, scale * cosine_weight * a)
    tl.store(coefficient_ptr + 3 * row + 1, scale * cosine_weight * b)
    tl.store(coefficient_ptr + 3 * row + 2, scale * (cosine_weight * c + 2.0 * l2_weight / size))


@triton.jit
def sum_terms(term_ptr: tl.tensor, loss_ptr: tl.tensor, rows: tl.tensor, BLOCK: tl.constexpr) -> None:
    """loss[]: the sum of term[rows], in one program."""
    total = tl.zeros((BLOCK,), tl.float64)
    for first in range(0, rows, BLOCK):
        offsets = first + tl.arange(0, BLOCK)
        total += tl.load(term_ptr + offsets, mask=offsets < rows, other=0.0)
    tl.store(loss_ptr, tl.sum(total, axis=0))


@triton.jit
def student_gradient(
    grad_loss_ptr: tl.tensor,
    student_ptr: tl.tensor,
    teacher_ptr: tl.tensor,
    coefficient_ptr: tl.tensor,
    gate_ptr: tl.tensor,
    grad_student_ptr: tl.tensor,
    size: tl.tensor,
    blocks: tl.tensor,
    horizons: tl.tensor,
    BLOCK: tl.constexpr,
    ACC: tl.constexpr,
) -> None:
    """grad_student[rows, size] = grad_loss (a s + b t + c (s - t)), BLOCK numbers a program.

    Of a sample whose gate is 0 nothing is read, and exact zeros are written.
    """
    program = tl.program_id(0).to(tl.int64)
    row = program // blocks
    offsets = (program % blocks) * BLOCK + tl.arange(0, BLOCK)
    readable = offsets < tl.where(tl.load(gate_ptr + row // horizons) != 0, size, 0)
    s = tl.load(student_ptr + row * size + offsets, mask=readable, other=0.0).to(ACC)
    t = tl.load(teacher_ptr + row * size + offsets, mask=readable, other=0.0).to(ACC)
    a = tl.load(coefficient_ptr + 3 * row)
    b = tl.load(coefficient_ptr + 3 * row + 1)
    c = tl.load(coefficient_ptr + 3 * row + 2)
    gradient = tl.load(grad_loss_ptr).to(ACC) * (a * s + b * t + c * (s - t))
    tl.store(grad_student_ptr + row * size + offsets, tl.where(readable, gradient, 0.0), mask=offsets < size)
