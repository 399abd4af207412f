"""What both originals need: a torchvision that imports, pictures, weights, and a way to hand back what they found.

These files run in environments of their own, with old packages and without ours.
"""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

# Gone with this object are the operators that it defines.
_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def import_torchvision() -> None:
    """Import torchvision, beside a torch without its compiled operators too: no reward uses them."""
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in ("nms", "qnms"):
            _OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_module("torchvision")


def read_pictures(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Batches of pictures uint8[B, H, W, 3] by name, and B prompts."""
    with safe_open(path, "pt") as file:
        names = file.keys()
        return {name: file.get_tensor(name) for name in names}, json.loads(file.metadata()["prompts"])


def randomise(network: nn.Module, gain: float) -> None:
    """Weights so large, by ``gain``, that pictures and prompts show in the score."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in network.parameters():
            scale = gain / max(weight.shape[-1:] or (1,)) ** 0.5
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)


def answer(
    batches: dict[str, Tensor],
    prompts: list[str],
    out: Path,
    *,
    score: Callable[[Image.Image, str], float],
    differentiable: Callable[[Tensor, list[str]], Tensor],
) -> None:
    """Write scores, by the package's own function, and gradients to ``out``/answer.safetensors, of each batch.

    Args:
        batches: as `read_pictures` gives them, like ``prompts``.
        prompts: one a picture.
        out: folder.
        score: of one picture, as people call the package.
        differentiable: scores[B] of images[B, 3, H, W] in [0, 1], with gradient.
    """
    found: dict[str, Tensor] = {}
    for name, pictures in batches.items():
        pairs = zip(pictures, prompts, strict=True)
        scores = [score(Image.fromarray(picture.numpy()), prompt) for picture, prompt in pairs]
        found[f"{name}.score"] = torch.tensor(scores, dtype=torch.float32)
        images = (pictures.permute(0, 3, 1, 2) / 255).requires_grad_()
        total = differentiable(images, prompts)
        found[f"{name}.differentiable"] = total.detach()
        found[f"{name}.gradient"] = torch.autograd.grad(total.sum(), images)[0].contiguous()
    save_file(found, out / "answer.safetensors")
