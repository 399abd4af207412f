"""The compile gate: every kernel compiles for every family of GPUs, without one, and none spills registers."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.kernel_resources import read_cuda, read_rocm

ROOT = Path(__file__).parents[3]


def test_every_kernel_compiles_and_none_spills() -> None:
    # A process of its own: in this one kernels are interpreted.
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "benchmarks/kernel_resources.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert {row["target"] for row in rows} == {"sm_80", "sm_90", "sm_100", "gfx942"}
    assert {row["kernel"] for row in rows} == {"partial_sums", "row_results", "sum_terms", "student_gradient"}
    assert [row for row in rows if row["spills"] != "0" or not 0 < int(row["registers"]) <= 128] == []


def test_words_of_the_assemblers_are_read() -> None:
    log = "    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\nUsed 64 registers, used 1 barriers"
    assert read_cuda(log) == (64, 20)
    metadata = "    .sgpr_count: 40\n    .sgpr_spill_count: 1\n    .vgpr_count:     50\n    .vgpr_spill_count: 2\n"
    assert read_rocm(metadata) == (50, 3)
    with pytest.raises(ValueError, match="not enough values"):
        read_cuda("ptxas is silent")
