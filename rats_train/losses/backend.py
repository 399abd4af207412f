"""Which code computes a loss: its torch reference, or the fused Triton kernel of the same signature."""

import os
from importlib.util import find_spec
from typing import Literal

import torch

from rats_train.errors import UserError

VARIABLE = "RATS_KERNELS"
# Below it Triton has no support, and bfloat16 no arithmetic.
MINIMUM_CAPABILITY = (8, 0)
_HAS_TRITON = find_spec("triton") is not None


def choose_backend(device: torch.device) -> Literal["torch", "triton"]:
    """Triton on a GPU that it supports (CUDA or ROCm), torch elsewhere; RATS_KERNELS=torch or =triton decides instead.

    Raises:
        UserError: RATS_KERNELS is another word, or asks for Triton where it cannot run.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", "torch", "triton"):
        raise UserError(f"{VARIABLE} is {asked!r}; write torch or triton, or unset it: the device then decides")
    if asked == "torch":
        return "torch"
    obstacle = _obstacle(device)
    # Triton's interpreter needs no GPU and is slow beyond use: for tests that ask for it, never chosen by the device.
    if obstacle is None or (asked and os.environ.get("TRITON_INTERPRET") == "1"):
        return "triton"
    if asked:
        raise UserError(f"{VARIABLE}=triton, but {obstacle}; write {VARIABLE}=torch, or unset it")
    return "torch"


def _obstacle(device: torch.device) -> str | None:
    """Why Triton cannot run on ``device``; None where it can."""
    if not _HAS_TRITON:
        return "triton is not installed (pip install 'rats-train[gpu]')"
    if device.type != "cuda":
        return f"the latents are on {device.type}, and Triton needs a CUDA or ROCm GPU"
    capability = torch.cuda.get_device_capability(device)
    if torch.version.hip is None and capability < MINIMUM_CAPABILITY:
        return f"this GPU has compute capability {capability[0]}.{capability[1]}, and Triton needs 8.0 or more"
    return None
