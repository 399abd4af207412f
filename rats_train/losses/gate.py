"""How far a sample follows its teacher: more where the teacher's picture is the better one."""

import torch
from torch import Tensor


def reward_gate(teacher_reward: Tensor, student_reward: Tensor, tau: float) -> Tensor:
    """Gate[B] = sigmoid((R_teacher - R_student) / tau), detached (RATS, reward-aware gate).

    1/2 at equal rewards, towards 1 where the teacher is ahead, towards 0 where it is behind. The paper's figure
    prints the opposite sign; its text, and the purpose, ask for this one.
    """
    return torch.sigmoid((teacher_reward.detach() - student_reward.detach()) / tau)


def hard_gate(teacher_reward: Tensor, student_reward: Tensor) -> Tensor:
    """Gate[B] = 1 where R_teacher > R_student, else 0: what `reward_gate` becomes as tau falls to 0 (an ablation)."""
    return (teacher_reward.detach() > student_reward.detach()).to(student_reward.dtype)
