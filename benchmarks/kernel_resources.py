"""Registers and spills of every kernel of ours, compiled ahead of time for each family of GPUs; needs no GPU.

    python benchmarks/kernel_resources.py

Writes CSV to standard output and ends with status 1 if a kernel spills registers to memory.
"""

import contextlib
import csv
import io
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from rats_train.losses.kernels import horizon
from rats_train.losses.kernels.horizon_kernels import partial_sums, row_results, student_gradient, sum_terms

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
ALIGNED = [["tt.divisibility", 16]]


class Build(NamedTuple):
    """One kernel with the types of its arguments: what a launch would compile.

    ``pointers``: element type by name, None for an absent tensor. ``sizes``: the whole numbers, of ``size_type``;
    ``aligned`` ones are multiples of 16, as most launches have them. Of type constexpr they are 1, which a launch
    compiles in.
    """

    kernel: Any
    variant: str
    pointers: dict[str, str | None]
    sizes: tuple[str, ...]
    constants: dict[str, Any]
    scalars: tuple[str, ...] = ()
    size_type: str = "i32"
    aligned: bool = True
    warps: int = 4


class Resources(NamedTuple):
    """What a thread needs: registers, and bytes (CUDA) or registers (ROCm) that did not fit and went to memory."""

    kernel: str
    variant: str
    target: str
    registers: int
    spills: int


def builds() -> Iterator[Build]:
    """Every kernel, in every dtype of latents; uncommon sizes in bfloat16, where loads are widest."""
    for variant, dtype, size_type, aligned in (
        ("bf16", "bf16", "i32", True),
        ("fp16", "fp16", "i32", True),
        ("fp32", "fp32", "i32", True),
        ("bf16, odd sizes", "bf16", "i32", False),
        ("bf16, over 2^31 numbers", "bf16", "i64", True),
        ("bf16, sizes of one", "bf16", "constexpr", False),
    ):
        latents: dict[str, str | None] = {"student_ptr": dtype, "teacher_ptr": dtype}
        constants = {"BLOCK": horizon.BLOCK, "ACC": tl.float32}
        yield Build(
            partial_sums,
            variant,
            latents | {"partial_ptr": "fp32"},
            ("size", "chunks"),
            constants | {"CHUNK": horizon.CHUNK},
            size_type=size_type,
            aligned=aligned,
        )
        coefficients = {"grad_loss_ptr": "fp32", "coefficient_ptr": "fp32", "gate_ptr": "fp32"}
        yield Build(
            student_gradient,
            variant,
            latents | coefficients | {"grad_student_ptr": dtype},
            ("size", "blocks", "horizons"),
            constants,
            size_type=size_type,
            aligned=aligned,
        )
    yield from _row_builds()


def _row_builds() -> Iterator[Build]:
    names = ("partial", "teacher_reward", "student_reward", "distance", "gate", "coefficient")
    pointers: dict[str, str | None] = {f"{name}_ptr": "fp32" for name in names} | {"term_ptr": "fp64"}
    constants = {"EPS": horizon.EPS, "BLOCK": horizon.ROW_BLOCK, "ACC": tl.float32}
    for variant, hard, weights, size_type in (
        ("soft gate, horizon weights", False, "fp32", "i32"),
        ("hard gate", True, None, "i32"),
        ("soft gate, sizes of one", False, None, "constexpr"),
    ):
        yield Build(
            row_results,
            variant,
            pointers | {"weight_ptr": weights},
            ("size", "chunks", "horizons"),
            constants | {"HARD": hard},
            scalars=("tau", "cosine_weight", "l2_weight"),
            size_type=size_type,
            warps=horizon.ROW_WARPS,
        )
    pointers = {"term_ptr": "fp64", "loss_ptr": "fp32"}
    for variant, size_type in (("", "i32"), ("one row", "constexpr")):
        constants = {"BLOCK": horizon.ROW_BLOCK}
        yield Build(sum_terms, variant, pointers, ("rows",), constants, size_type=size_type, warps=horizon.ROW_WARPS)


def compile_build(build: Build, target: str) -> Resources:
    """Compiles ``build`` for ``target``, past every cache, and reads what the assembler says of it."""
    constants = build.constants | {name: None for name, element in build.pointers.items() if element is None}
    constants |= dict.fromkeys(build.sizes, 1) if build.size_type == "constexpr" else {}
    types = {name: f"*{element}" for name, element in build.pointers.items() if element is not None}
    types |= dict.fromkeys(build.sizes, build.size_type) | dict.fromkeys(build.scalars, "fp64")
    names = build.kernel.arg_names
    signature = {name: types.get(name, "constexpr") for name in names}
    aligned = {name for name, kind in types.items() if kind[0] == "*" or (kind[0] == "i" and build.aligned)}
    attributes = {(i,): ALIGNED for i, name in enumerate(names) if name in aligned}
    source = ASTSource(build.kernel, signature, constants, attributes)
    with contextlib.redirect_stdout(io.StringIO()) as log:
        compiled = triton.compile(source, target=TARGETS[target], options={"num_warps": build.warps})
    text = compiled.asm["amdgcn"] if TARGETS[target].backend == "hip" else log.getvalue()
    registers, spills = read_rocm(text) if TARGETS[target].backend == "hip" else read_cuda(text)
    return Resources(build.kernel.__name__, build.variant, target, registers, spills)


def read_cuda(log: str) -> tuple[int, int]:
    """Registers and spilled bytes out of what ``ptxas -v`` says."""
    (registers,) = re.findall(r"Used (\d+) registers", log)
    ((stores, loads),) = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    return int(registers), int(stores) + int(loads)


def read_rocm(assembly: str) -> tuple[int, int]:
    """Vector registers and spilled registers, vector and scalar, out of the metadata of AMD assembly."""
    (registers,) = re.findall(r"\.vgpr_count: +(\d+)", assembly)
    (scalar,) = re.findall(r"\.sgpr_spill_count: +(\d+)", assembly)
    (vector,) = re.findall(r"\.vgpr_spill_count: +(\d+)", assembly)
    return int(registers), int(scalar) + int(vector)


def main() -> int:
    """Compiles everything for everyone; 1 if anything spills."""
    # A cached kernel would come without the assembler's words.
    triton.knobs.compilation.always_compile = True
    triton.knobs.nvidia.dump_ptxas_log = True
    rows = [compile_build(build, target) for build in builds() for target in TARGETS]
    writer = csv.writer(sys.stdout)
    writer.writerow(Resources._fields)
    writer.writerows(rows)
    return int(any(row.spills for row in rows))


if __name__ == "__main__":
    sys.exit(main())
