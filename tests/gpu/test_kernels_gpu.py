"""The kernel of the gated horizon loss, compiled and on a GPU: ``pytest -m gpu tests/gpu``."""

import pytest
import torch

from rats_train.losses.horizon import gated_horizon_loss
from rats_train.losses.kernels import horizon as kernel
from tests import horizon_loss_checks as checks

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA or ROCm GPU")]
GPU = "cuda"


@pytest.mark.parametrize("name", checks.CASES)
def test_float32_is_float64_to_a_millionth(name: str) -> None:
    checks.check_float32_against_float64(name, GPU)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", checks.CASES)
def test_half_precision_errs_at_most_twice_as_far_as_torch(name: str, dtype: torch.dtype) -> None:
    checks.check_half_against_torch(dtype, name, GPU)


def test_tiny_norms_are_clamped_as_torch_clamps_them() -> None:
    checks.check_tiny_norms_are_clamped_as_torch_clamps_them(GPU)


def test_layouts_and_dtypes_may_differ() -> None:
    checks.check_layouts_and_dtypes_may_differ(GPU)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("run_loss", [checks.run_kernel, checks.run_reference])
def test_closed_samples_do_nothing(run_loss, hard: bool) -> None:
    checks.check_closed_samples_do_nothing(run_loss, GPU, hard)


def test_gates_close_where_torch_closes_them() -> None:
    checks.check_gates_close_where_torch_closes_them(GPU)


def test_bits_repeat() -> None:
    checks.check_bits_repeat(GPU)


def test_gradient_and_registration() -> None:
    checks.check_gradient_and_registration(GPU)


def test_only_the_student_receives_gradient() -> None:
    checks.check_only_the_student_receives_gradient(GPU)


def test_a_compiled_caller_keeps_one_graph() -> None:
    inputs, options = checks.case("odd", GPU)
    compiled = torch.compile(gated_horizon_loss, fullgraph=True)
    for x, y in zip(checks.run(compiled, inputs, **options), checks.run_kernel(inputs, **options), strict=True):
        assert torch.equal(x, y)


def test_rows_of_more_chunks_than_a_block() -> None:
    inputs = checks.draw((1, 2, (kernel.ROW_BLOCK + 1) * kernel.CHUNK + 1), 1.0, GPU)
    expected = checks.run_reference(inputs.to(torch.float64), **checks.WEIGHTS)
    checks.assert_near(checks.run_kernel(inputs, **checks.WEIGHTS), expected, rtol=1e-6)


def test_offsets_beyond_31_bits() -> None:
    """The last row of 5 GB of latents, which lies beyond 2^31 numbers, is the one that counts."""
    student = torch.zeros(1, 5, 2**29, dtype=torch.bfloat16, device=GPU)
    teacher = torch.zeros_like(student)
    student[0, 4, -1] = 2.0
    student.requires_grad_()
    rewards = torch.ones(1, device=GPU), torch.zeros(1, device=GPU)
    result = checks.run_kernel(checks.Inputs(student, teacher, *rewards), tau=1.0, cosine_weight=0.0, l2_weight=2.0**29)
    torch.testing.assert_close(result.distances, torch.tensor([[0.0, 0.0, 0.0, 0.0, 4.0]], device=GPU))
    assert result.gradient.count_nonzero() == 1
    assert result.gradient[0, 4, -1] != 0


def test_the_gpu_uses_the_kernel_unasked(monkeypatch) -> None:
    monkeypatch.delenv("RATS_KERNELS", raising=False)
    calls = []
    monkeypatch.setattr(kernel, "gated_horizon_loss", lambda *_, **__: calls.append(1) or (1, 2, 3))
    gated_horizon_loss(*checks.draw((1, 2, 3), 1.0, GPU), **checks.WEIGHTS)
    assert calls == [1]
