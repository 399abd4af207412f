"""What all families do alike around a stock diffusers pipeline: freeze it, move it, save a student of it."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from rats_train.files import write_json
from rats_train.models.folder import STUDENT_CARD
from rats_train.models.schedule import Schedule
from rats_train.resolution import Resolution


class PipelineModel:
    """A stock pipeline at one resolution; everything but ``transformer`` is frozen."""

    def __init__(self, pipeline: DiffusionPipeline, schedule: Schedule, resolution: Resolution) -> None:
        self._pipeline, self._schedule, self.resolution = pipeline, schedule, resolution
        self.transformer: nn.Module = pipeline.transformer.eval()
        for name, part in pipeline.components.items():
            if isinstance(part, nn.Module) and name != "transformer":
                part.requires_grad_(False).eval()

    @property
    def device(self) -> torch.device:
        """Where the frozen parts and the own transformer lie."""
        device: torch.device = self._pipeline.device
        return device

    def to(self, device: torch.device | str) -> Self:
        """Move all components, in place."""
        self._pipeline.to(device)
        return self

    def sigmas(self, steps: int) -> Tensor:
        """Sigmas[steps + 1] that the folder's own pipeline walks, falling from 1 to 0."""
        return self._schedule.sigmas(steps)

    def save_student(
        self,
        path: str | Path,
        state_dict: dict[str, Tensor] | None,
        *,
        terminal_sigma: float,
        steps: list[int],
        guidance_scale: float,
        lora: dict[str, Tensor] | None = None,
    ) -> None:
        """Write a stock diffusers folder that draws on the student's schedule, and its card beside it.

        ``state_dict`` replaces the transformer's weights; None saves those loaded. ``guidance_scale`` is the one to
        draw with. ``lora`` is the adapter that made the weights, if one did, for ``load_lora_weights(path)`` on the
        teacher. The folder appears whole.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = {
            **self._pipeline.components,
            "transformer": self._with_weights(state_dict),
            "scheduler": self._schedule.ending_at(terminal_sigma).scheduler(),
        }
        scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        type(self._pipeline)(**parts).save_pretrained(scratch, safe_serialization=True)
        if lora is not None:
            self._pipeline.save_lora_weights(scratch, transformer_lora_layers=lora)
        card: dict[str, Any] = {
            "steps": steps,
            "guidance_scale": guidance_scale,
            "terminal_sigma": terminal_sigma,
            "resolution": self.resolution.model_dump(),
        }
        write_json(scratch / STUDENT_CARD, card)
        scratch.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        scratch.replace(path)

    def _with_weights(self, state_dict: dict[str, Tensor] | None) -> nn.Module:
        if state_dict is None:
            return self.transformer
        own = self._pipeline.transformer
        transformer: nn.Module = type(own).from_config(own.config).to(own.dtype)
        transformer.load_state_dict(state_dict)
        return transformer


class _StraightThroughClamp(torch.autograd.Function):
    """Clamp to [0, 1] on the way out, identity on the way back: a saturated pixel can still be pulled into range."""

    @staticmethod
    def forward(_: Any, image: Tensor) -> Tensor:
        return image.clamp(0, 1)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def to_unit_range(pixels: Tensor) -> Tensor:
    """Pixels from a decoder's [-1, 1] in [0, 1], float32; the gradient passes straight through the clamp."""
    image: Tensor = _StraightThroughClamp.apply(pixels.float() * 0.5 + 0.5)
    return image
