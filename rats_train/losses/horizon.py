"""Trajectory shaping: student x0 predictions against the teacher's at aligned noise levels, gated by reward (RATS)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rats_train.losses.gate import hard_gate, reward_gate


def horizon_distance(student: Tensor, teacher: Tensor, cosine_weight: float, l2_weight: float) -> Tensor:
    """Distance[B] of student[B, ...] and teacher[B, ...]: cosine_weight (1 - cos) + l2_weight mean squared error.

    No gradient reaches the teacher. Half-precision input is compared in float32.
    """
    dtype = torch.promote_types(student.dtype, torch.float32)
    s = student.flatten(1).to(dtype)
    t = teacher.detach().flatten(1).to(dtype)
    return cosine_weight * (1 - F.cosine_similarity(s, t)) + l2_weight * (s - t).square().mean(dim=1)


def horizon_distances(student: Tensor, teacher: Tensor, cosine_weight: float, l2_weight: float) -> Tensor:
    """Distances[B, H] of student[B, H, ...] and teacher[B, H, ...], each as `horizon_distance` measures it."""
    distances = horizon_distance(student.flatten(0, 1), teacher.flatten(0, 1), cosine_weight, l2_weight)
    return distances.view(student.shape[:2])


def shaping_loss(distances: Tensor, horizon_weights: Tensor | None = None) -> Tensor:
    """Loss[B]: the mean of distances[B, H] over the horizons, each times its weight[H] where weights are given."""
    if horizon_weights is not None:
        distances = distances * horizon_weights
    return distances.mean(dim=1)


class GatedHorizonLoss(NamedTuple):
    """The scalar ``loss``, and what it was made of: ``distances[B, H]`` and ``gate[B]``."""

    loss: Tensor
    distances: Tensor
    gate: Tensor


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
) -> GatedHorizonLoss:
    """The shaping term of RATS: mean over the batch of gate times shaping loss.

    Args:
        student: x0 predictions[B, H, ...] of the student; the only input that receives gradient.
        teacher: x0 predictions[B, H, ...] of the teacher at the aligned noise levels.
        teacher_reward: rewards[B] of the teacher's pictures.
        student_reward: rewards[B] of the student's pictures.
        tau: temperature of the gate, in units of the reward.
        cosine_weight: weight of 1 - cosine similarity.
        l2_weight: weight of the mean squared error.
        horizon_weights: weights[H]; None weighs all horizons 1.
        hard: gate by which reward is higher alone; ``tau`` then plays no part.
    """
    distances = horizon_distances(student, teacher, cosine_weight, l2_weight)
    gate = hard_gate(teacher_reward, student_reward) if hard else reward_gate(teacher_reward, student_reward, tau)
    loss = (gate * shaping_loss(distances, horizon_weights)).mean()
    return GatedHorizonLoss(loss, distances, gate)
