"""What a gated horizon loss asks of its tensors, be it computed by the reference or by the kernel."""

import torch
from torch import Tensor

DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def check_inputs(
    student: Tensor,
    teacher: Tensor,
    teacher_reward: Tensor,
    student_reward: Tensor,
    horizon_weights: Tensor | None,
) -> None:
    """Shapes, dtypes and devices fit together.

    Raises:
        ValueError: they do not; says which tensor is wrong, and what is asked.
    """
    if student.ndim < 3 or student.numel() == 0:
        raise ValueError(f"student[B, H, ...] needs three or more dimensions and no empty one, not {_shape(student)}")
    if teacher.shape != student.shape:
        raise ValueError(f"teacher has shape {_shape(teacher)}; make it that of student, {_shape(student)}")
    for name, latents in (("student", student), ("teacher", teacher)):
        if latents.dtype not in DTYPES:
            raise ValueError(f"{name} is {latents.dtype}; cast it to bfloat16, float16, float32 or float64")
    _check_vector("teacher_reward", teacher_reward, "B", student.shape[0])
    _check_vector("student_reward", student_reward, "B", student.shape[0])
    others = {"teacher": teacher, "teacher_reward": teacher_reward, "student_reward": student_reward}
    if horizon_weights is not None:
        _check_vector("horizon_weights", horizon_weights, "H", student.shape[1])
        others["horizon_weights"] = horizon_weights
    for name, tensor in others.items():
        if tensor.device != student.device:
            raise ValueError(f"{name} is on {tensor.device}; move it to the student's device, {student.device}")


def _check_vector(name: str, vector: Tensor, dimension: str, length: int) -> None:
    if vector.shape != (length,):
        raise ValueError(f"{name} has shape {_shape(vector)}; one value each is asked: [{dimension}] = [{length}]")


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)
