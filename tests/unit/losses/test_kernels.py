"""The kernel of the gated horizon loss on the CPU, in Triton's interpreter: its arithmetic, not its compilation."""

import pytest
import torch

from rats_train.losses.horizon import gated_horizon_loss
from rats_train.losses.kernels import horizon as kernel
from tests import horizon_loss_checks as checks

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="no interpreter here: tests/gpu runs these checks"),
    # The interpreter computes with numpy, which tells of every infinity and NaN, and they are meant here.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
CPU = "cpu"


@pytest.mark.parametrize("name", checks.CASES)
def test_float32_is_float64_to_a_millionth(name: str) -> None:
    checks.check_float32_against_float64(name, CPU)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["odd", "video"])
def test_half_precision_errs_at_most_twice_as_far_as_torch(name: str, dtype: torch.dtype) -> None:
    checks.check_half_against_torch(dtype, name, CPU)


def test_tiny_norms_are_clamped_as_torch_clamps_them() -> None:
    checks.check_tiny_norms_are_clamped_as_torch_clamps_them(CPU)


def test_layouts_and_dtypes_may_differ() -> None:
    checks.check_layouts_and_dtypes_may_differ(CPU)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("run_loss", [checks.run_kernel, checks.run_reference])
def test_closed_samples_do_nothing(run_loss, hard: bool) -> None:
    checks.check_closed_samples_do_nothing(run_loss, CPU, hard)


def test_gates_close_where_torch_closes_them() -> None:
    checks.check_gates_close_where_torch_closes_them(CPU)


def test_bits_repeat() -> None:
    checks.check_bits_repeat(CPU)


def test_gradient_and_registration() -> None:
    checks.check_gradient_and_registration(CPU)


def test_only_the_student_receives_gradient() -> None:
    checks.check_only_the_student_receives_gradient(CPU)


def test_a_compiled_caller_keeps_one_graph(monkeypatch) -> None:
    monkeypatch.setenv("RATS_KERNELS", "triton")
    inputs, options = checks.case("odd", CPU)
    compiled = torch.compile(gated_horizon_loss, fullgraph=True, backend="aot_eager")
    for x, y in zip(checks.run(compiled, inputs, **options), checks.run_kernel(inputs, **options), strict=True):
        assert torch.equal(x, y)


LATENTS, REWARD = torch.zeros(2, 3, 4), torch.zeros(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student": torch.zeros(2, 3)}, r"three or more dimensions and no empty one, not \[2, 3\]"),
        ({"student": torch.zeros(2, 3, 0)}, r"no empty one, not \[2, 3, 0\]"),
        ({"teacher": torch.zeros(2, 1, 4)}, r"teacher has shape \[2, 1, 4\]; make it that of student, \[2, 3, 4\]"),
        ({"teacher": LATENTS.int()}, r"teacher is torch.int32; cast it to bfloat16"),
        ({"teacher_reward": torch.zeros(2, 1)}, r"teacher_reward has shape \[2, 1\].*\[B\] = \[2\]"),
        ({"student_reward": torch.zeros(3)}, r"student_reward has shape \[3\].*\[B\] = \[2\]"),
        ({"horizon_weights": torch.zeros(2)}, r"horizon_weights has shape \[2\].*\[H\] = \[3\]"),
        ({"teacher": LATENTS.to("meta")}, r"teacher is on meta; move it to the student's device, cpu"),
    ],
)
def test_what_does_not_fit_is_named(change, message: str) -> None:
    inputs = {"student": LATENTS, "teacher": LATENTS, "teacher_reward": REWARD, "student_reward": REWARD} | change
    for function in (kernel.gated_horizon_loss, gated_horizon_loss):
        with pytest.raises(ValueError, match=message):
            function(**inputs, **checks.WEIGHTS)
