"""What the kernel of the gated horizon loss must do, on whichever device runs it."""

from typing import NamedTuple

import torch
from torch import Tensor

from rats_train.losses.horizon import GatedHorizonLoss, reference_gated_horizon_loss
from rats_train.losses.kernels import horizon as kernel

WEIGHTS = {"tau": 0.1, "cosine_weight": 0.7, "l2_weight": 1.3}
# name: shape of the latents, noise between student and teacher, options
CASES = {
    "one number": ((1, 1, 1), 1.0, {}),
    "odd": ((2, 3, 5, 7), 1.0, {}),
    "image": ((2, 2, 4, 8, 8), 1.0, {"hard": True}),
    "video": ((2, 2, 2, 3, 5, 4), 1.0, {"weighted": True}),
    "more than a chunk": ((1, 1, kernel.CHUNK + 13), 1.0, {"tau": 0.5}),
    "close to the teacher": ((2, 2, 4, 8, 8), 1e-3, {"l2_weight": 0.0}),
    "far longer than the teacher": ((1, 2, 50), 1.0, {"scale": 1e4, "l2_weight": 0.0}),
    "far shorter than the teacher": ((1, 2, 50), 1.0, {"scale": 1e-4, "l2_weight": 0.0}),
    "l2 alone": ((1, 2, 50), 1.0, {"cosine_weight": 0.0}),
}


class Inputs(NamedTuple):
    """Arguments of the loss."""

    student: Tensor
    teacher: Tensor
    teacher_reward: Tensor
    student_reward: Tensor

    def to(self, dtype: torch.dtype) -> "Inputs":
        """The same numbers in another dtype, the student a leaf."""
        return Inputs(self.student.detach().to(dtype).requires_grad_(), *(x.to(dtype) for x in self[1:]))


class Result(NamedTuple):
    """Outcome of the loss, and the gradient of 2.5 times it."""

    loss: Tensor
    distances: Tensor
    gate: Tensor
    gradient: Tensor


def draw(shape: tuple[int, ...], noise: float, device: str, scale: float = 1.0) -> Inputs:
    """Student = scale (teacher + noise), with better teachers and worse."""
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(shape, generator=generator)
    student = scale * (teacher + noise * torch.randn(shape, generator=generator))
    rewards = torch.rand(2, shape[0], generator=generator)
    return Inputs(student.to(device).requires_grad_(), teacher.to(device), *rewards.to(device))


def case(name: str, device: str) -> tuple[Inputs, dict]:
    """Inputs and options of one of the cases."""
    shape, noise, options = CASES[name]
    options = WEIGHTS | options
    inputs = draw(shape, noise, device, options.pop("scale", 1.0))
    if options.pop("weighted", False):
        options["horizon_weights"] = torch.tensor([0.5, 2.0], device=device)
    return inputs, options


def run(function, inputs: Inputs, **options) -> Result:
    """Loss and gradient by ``function``, kernel or reference."""
    result = GatedHorizonLoss(*function(*inputs, **options))
    (gradient,) = torch.autograd.grad(2.5 * result.loss, inputs.student)
    return Result(*(x.detach() for x in result), gradient)


def run_kernel(inputs: Inputs, **options) -> Result:
    """Loss and gradient by the kernel."""
    return run(kernel.gated_horizon_loss, inputs, **options)


def run_reference(inputs: Inputs, **options) -> Result:
    """Loss and gradient by plain torch."""
    return run(reference_gated_horizon_loss, inputs, **options)


def assert_near(actual: Result, expected: Result, rtol: float) -> None:
    """Value by value; the gradient in units of its largest number, since single ones may cancel."""
    for name, x, y in zip(Result._fields, actual, expected, strict=True):
        atol = rtol * y.abs().max().item() if name == "gradient" else 0.0
        torch.testing.assert_close(x.double(), y, rtol=rtol, atol=atol, msg=lambda m, name=name: f"{name}: {m}")


def check_float32_against_float64(name: str, device: str) -> None:
    inputs, options = case(name, device)
    actual = run_kernel(inputs, **options)
    assert actual.loss.dtype == actual.distances.dtype == actual.gate.dtype == actual.gradient.dtype == torch.float32
    assert_near(actual, run_reference(inputs.to(torch.float64), **options), rtol=1e-6)


def check_half_against_torch(dtype: torch.dtype, name: str, device: str) -> None:
    inputs, options = case(name, device)
    half = Inputs(inputs.student.detach().to(dtype).requires_grad_(), inputs.teacher.to(dtype), *inputs[2:])
    actual, rival = run_kernel(half, **options), run_reference(half, **options)
    exact = run_reference(half.to(torch.float64), **options)
    assert actual.gradient.dtype == dtype
    for x, y, z in zip(actual, rival, exact, strict=True):
        assert (x - z).abs().max() <= 2 * (y - z).abs().max() + 1e-6 * z.abs().max()


def check_tiny_norms_are_clamped_as_torch_clamps_them(device: str) -> None:
    inputs, options = case("odd", device)
    for student_scale, teacher_scale in ((0, 1), (1, 0), (0, 0), (1e-10, 1), (1, 1e-10), (1e-10, 1e-10)):
        student = (inputs.student.detach() * student_scale).requires_grad_()
        tiny = Inputs(student, inputs.teacher * teacher_scale, *inputs[2:])
        assert_near(run_kernel(tiny, **options), run_reference(tiny.to(torch.float64), **options), rtol=1e-6)


def check_layouts_and_dtypes_may_differ(device: str) -> None:
    inputs, options = case("video", device)
    expected = run_kernel(inputs, **options)
    turned = Inputs(
        inputs.student.detach().transpose(2, 4).contiguous().transpose(2, 4).requires_grad_(),
        inputs.teacher.transpose(0, 1).contiguous().transpose(0, 1),
        torch.stack([inputs.teacher_reward] * 2, dim=1)[:, 0],
        inputs.student_reward,
    )
    assert [x.is_contiguous() for x in turned] == [False, False, False, True]
    for x, y in zip(run_kernel(turned, **options), expected, strict=True):
        assert torch.equal(x, y)
    mixed = inputs._replace(teacher=inputs.teacher.bfloat16())
    assert_near(run_kernel(mixed, **options), run_reference(mixed.to(torch.float64), **options), rtol=1e-6)


def check_closed_samples_do_nothing(run_loss, device: str, hard: bool) -> None:
    """Whatever is in its latents, a sample whose gate is 0 adds nothing; where it is open, NaN is seen."""
    inputs = draw((3, 2, 7), 1.0, device)
    rewards = torch.tensor([1.0, 0.0, 1.0], device=device), torch.tensor([0.0, 1e3, 0.0], device=device)
    healthy = run_loss(Inputs(*inputs[:2], *rewards), **WEIGHTS, hard=hard)
    for spoilt in (float("nan"), float("inf")):
        student, teacher = inputs.student.detach().clone(), inputs.teacher.clone()
        student[1, 0, 3] = teacher[1, 1, 2] = spoilt
        sick = Inputs(student.requires_grad_(), teacher, *rewards)
        result = run_loss(sick, **WEIGHTS, hard=hard)
        assert result.gate[1] == 0
        assert torch.equal(result.loss, healthy.loss)
        assert torch.equal(result.gradient, healthy.gradient)
        assert torch.equal(result.gradient[1], torch.zeros_like(student[1]))
        assert not result.distances[1].isfinite().any()
        opened = run_loss(sick._replace(student_reward=torch.zeros(3, device=device)), **WEIGHTS, hard=True)
        assert opened.gate[1] == 0
        opened = run_loss(sick._replace(teacher_reward=rewards[1] + 1), **WEIGHTS, hard=hard)
        assert not opened.loss.isfinite()
        assert not opened.gradient[1].isfinite().all()


def check_gates_close_where_torch_closes_them(device: str) -> None:
    gap = torch.tensor([-80.0, -88.0, -89.0, -95.0, -200.0], device=device)
    inputs = Inputs(*draw((5, 1, 3), 1.0, device)[:2], gap, torch.zeros_like(gap))
    options = WEIGHTS | {"tau": 1.0}
    assert (run_kernel(inputs, **options).gate == 0).tolist() == [False, False, True, True, True]
    assert (run_reference(inputs, **options).gate == 0).tolist() == [False, False, True, True, True]


def check_bits_repeat(device: str) -> None:
    inputs, options = case("more than a chunk", device)
    first = run_kernel(inputs, **options)
    for _ in range(2):
        for x, y in zip(run_kernel(inputs, **options), first, strict=True):
            assert torch.equal(x, y)


def check_gradient_and_registration(device: str) -> None:
    inputs = draw((1, 2, 3), 1.0, device).to(torch.float64)
    weights = torch.tensor([0.5, 2.0], device=device)
    arguments = (*inputs, *WEIGHTS.values(), weights, False)
    assert torch.autograd.gradcheck(lambda s: kernel._loss(s, *arguments[1:])[0], inputs.student)
    torch.library.opcheck(kernel._loss, arguments)
    loss, _, gate, coefficients = (x.detach() for x in kernel._loss(*arguments))
    torch.library.opcheck(kernel._gradient, (loss, inputs.student.detach(), inputs.teacher, coefficients, gate))


def check_only_the_student_receives_gradient(device: str) -> None:
    inputs = Inputs(*(x.detach().requires_grad_() for x in draw((2, 3, 5), 1.0, device)))
    weights = torch.ones(3, device=device, requires_grad=True)
    loss, distances, gate = kernel.gated_horizon_loss(*inputs, **WEIGHTS, horizon_weights=weights)
    loss.backward()
    assert inputs.student.grad is not None
    assert [x.grad for x in (*inputs[1:], weights)] == [None] * 4
    assert not distances.requires_grad
    assert not gate.requires_grad
    fixed = inputs._replace(student=inputs.student.detach())
    assert not kernel.gated_horizon_loss(*fixed, **WEIGHTS, horizon_weights=weights)[0].requires_grad
