"""What all families do alike around a stock diffusers pipeline: freeze it, move it, save a student of it."""

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from rats_train.errors import UserError
from rats_train.files import write_json
from rats_train.models.adapter_file import ADAPTER_FILE
from rats_train.models.base import PromptEmbeds, concatenated
from rats_train.models.folder import STUDENT_CARD
from rats_train.models.schedule import Schedule
from rats_train.resolution import Resolution


class PipelineModel(ABC):
    """A stock pipeline at one resolution; everything but ``transformer`` is frozen."""

    def __init__(self, pipeline: DiffusionPipeline, schedule: Schedule, resolution: Resolution) -> None:
        self._pipeline, self._schedule, self.resolution = pipeline, schedule, resolution
        self.transformer: nn.Module = pipeline.transformer.eval()
        for name, part in pipeline.components.items():
            if isinstance(part, nn.Module) and name != "transformer":
                part.requires_grad_(False).eval()
        self._text_encoders = [part for name, part in pipeline.components.items() if _encodes_text(name, part)]
        self._remembered: dict[str, PromptEmbeds] = {}
        self._adapter = ""

    @property
    def device(self) -> torch.device:
        """Where the decoder and the own transformer lie."""
        device: torch.device = self._pipeline.vae.device
        return device

    def to(self, device: torch.device | str) -> Self:
        """Move all components, in place."""
        self._pipeline.to(device)
        return self

    def encode_prompts(self, prompts: Sequence[str]) -> PromptEmbeds:
        """Encode prompts, without gradient; those that `remember_prompts` was given are looked up."""
        if any(prompt not in self._remembered for prompt in prompts):
            return self._encode(prompts).to(self.device)
        return concatenated([self._remembered[prompt] for prompt in prompts]).to(self.device)

    def load_adapter(self, name: str, folder: Path) -> None:
        """Put the LoRA adapter in ``folder`` beside the transformer's weights; `use_adapter` switches it on.

        Raises:
            UserError: the folder holds none for this transformer.
        """
        try:
            self._pipeline.transformer.load_lora_adapter(
                folder, weight_name=ADAPTER_FILE, adapter_name=name, use_safetensors=True, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"{folder} holds no LoRA adapter for this transformer: {error}") from error
        self._adapter = name  # it is on now
        self.use_adapter("")

    def use_adapter(self, name: str) -> None:
        """Compute with this adapter alone; with none if ``name`` is empty."""
        transformer = self._pipeline.transformer
        if name == self._adapter:
            return
        if name:
            transformer.enable_adapters()
            transformer.set_adapter(name)
        else:
            transformer.disable_adapters()
        self._adapter = name

    def remember_prompts(self, prompts: Sequence[str], batch_size: int) -> None:
        """Encode prompts now, keep their embeddings in the processor's memory, and move the text encoders there too."""
        different = list(dict.fromkeys(prompts))
        for start in range(0, len(different), batch_size):
            part = different[start : start + batch_size]
            embeds = self._encode(part).to(torch.device("cpu"))
            self.remember({prompt: embeds.select(slice(row, row + 1)) for row, prompt in enumerate(part)})
        for encoder in self._text_encoders:
            encoder.to("cpu")

    def remember(self, embeds: Mapping[str, PromptEmbeds]) -> None:
        """Take these embeddings, one row each, for those of their prompts."""
        self._remembered |= embeds

    @abstractmethod
    def _encode(self, prompts: Sequence[str]) -> PromptEmbeds:
        """Prompts encoded where the text encoders lie."""

    @property
    def _encoding_device(self) -> torch.device:
        device: torch.device = self._text_encoders[0].device
        return device

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


def _encodes_text(name: str, part: Any) -> bool:
    return name.startswith("text_encoder") and isinstance(part, nn.Module)


def precision_of(transformer: nn.Module) -> torch.dtype:
    """What a transformer computes in: that of its last layer, for some weights before it always stay in float32."""
    *_, last = transformer.parameters()
    return last.dtype


class _StraightThroughClamp(torch.autograd.Function):
    """Clamp to [0, 1] on the way out, identity on the way back: a saturated pixel can still be pulled into range."""

    @staticmethod
    def forward(_: Any, image: Tensor) -> Tensor:
        return image.clamp(0, 1)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def decode_pictures(vae: Any, latents: Tensor) -> Tensor:
    """Images[B, 3, H, W] in [0, 1] of latents[B, C, h, w] by an ``AutoencoderKL``; the gradient passes the clamp."""
    latents = latents / vae.config.scaling_factor + vae.config.shift_factor
    return to_unit_range(vae.decode(latents.to(vae.dtype), return_dict=False)[0])


def to_unit_range(pixels: Tensor) -> Tensor:
    """Pixels from a decoder's [-1, 1] in [0, 1], float32; the gradient passes straight through the clamp."""
    image: Tensor = _StraightThroughClamp.apply(pixels.float() * 0.5 + 0.5)
    return image
