"""Trajectory shaping: student x0 predictions against the teacher's at aligned noise levels, gated by reward (RATS)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rats_train.losses.backend import choose_backend
from rats_train.losses.gate import hard_gate, reward_gate
from rats_train.losses.kernels.checks import check_inputs


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
    """The scalar ``loss``, and what it was made of, without gradient: ``distances[B, H]`` and ``gate[B]``."""

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

    On a GPU by the fused kernel, elsewhere by the reference below; RATS_KERNELS=torch or =triton decides instead.
    Both compute in float32 (float64 for a float64 student).

    A sample whose gate is exactly 0 adds exactly 0 to the loss and receives exactly zero gradient, even where its
    latents are not finite: nobody follows it, so nothing of it passes this loss. Its distances tell what is there.

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

    Raises:
        ValueError: shapes, dtypes or devices do not fit together.
        UserError: RATS_KERNELS asks for what cannot run here.
    """
    inputs = (student, teacher, teacher_reward, student_reward, tau, cosine_weight, l2_weight, horizon_weights)
    if choose_backend(student.device) == "torch":
        return reference_gated_horizon_loss(*inputs, hard=hard)
    from rats_train.losses.kernels import horizon as kernel  # machines without a GPU need no triton

    return GatedHorizonLoss(*kernel.gated_horizon_loss(*inputs, hard=hard))


def reference_gated_horizon_loss(
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
    """`gated_horizon_loss` in plain torch: what the kernel is measured against."""
    check_inputs(student, teacher, teacher_reward, student_reward, horizon_weights)
    dtype = torch.promote_types(student.dtype, torch.float32)
    rewards = teacher_reward.to(dtype), student_reward.to(dtype)
    gate = hard_gate(*rewards) if hard else reward_gate(*rewards, tau)
    closed = gate == 0
    # A gradient of zero times a latent that is not finite would not be zero: closed samples take part as numbers.
    followed = torch.where(closed.view(-1, *[1] * (student.ndim - 1)), student.detach(), student)
    distances = horizon_distances(followed, teacher, cosine_weight, l2_weight)
    weights = None if horizon_weights is None else horizon_weights.detach()
    loss = torch.where(closed, 0.0, gate * shaping_loss(distances, weights)).mean()
    return GatedHorizonLoss(loss, distances.detach(), gate)
