"""What every method records of each sample and says of a batch, so that runs of different methods can be compared."""

from collections.abc import Mapping

import torch
from torch import Tensor


def comparison(nfe: int, student_reward: Tensor, teacher_reward: Tensor) -> dict[str, Tensor]:
    """Samples[B] common to all methods: the budget, the reward of the picture as served, and the teacher's."""
    return {
        "nfe": torch.full_like(teacher_reward, nfe),
        "reward_student": student_reward.detach(),
        "reward_teacher": teacher_reward,
    }


def summarise_comparison(samples: Mapping[str, Tensor]) -> dict[str, float]:
    """Both rewards and their gap over a global batch."""
    student, teacher = samples["reward_student"], samples["reward_teacher"]
    return {
        "reward_student": float(student.mean()),
        "reward_teacher": float(teacher.mean()),
        "gap": float((student - teacher).mean()),
    }


def summarise_gate(gate: Tensor) -> dict[str, float]:
    """How far the gate is open over a global batch, for methods that have one."""
    return {"gate_mean": float(gate.mean()), "gate_min": float(gate.min()), "gate_max": float(gate.max())}


def mean_nfe(samples: Mapping[str, Tensor]) -> float:
    """The budget of a batch; all its rows have the same."""
    return float(samples["nfe"].mean())
