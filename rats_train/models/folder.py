"""A stock diffusers folder as its configs describe it: no weight is loaded."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from rats_train.errors import UserError
from rats_train.files import read_json
from rats_train.resolution import Resolution

STUDENT_CARD = "rats_student.json"
"""Beside a student's ``model_index.json``: its steps, guidance scale, terminal sigma and resolution."""


class PipelineFolder:
    """A folder with a ``model_index.json``.

    Raises:
        UserError: it is not one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "model_index.json").is_file():
            raise UserError(f"No diffusers folder at {path} (no model_index.json in it): name a pipeline's folder.")

    @cached_property
    def pipeline(self) -> str:
        """Name of its pipeline class."""
        name: str = read_json(self.path / "model_index.json")["_class_name"]
        return name

    @property
    def left_out(self) -> dict[str, None]:
        """The T5 encoder of an SD3 folder that has none, as the stock loader wants to be told of it."""
        parts = ("text_encoder_3", "tokenizer_3") if self.pipeline == "StableDiffusion3Pipeline" else ()
        return {name: None for name in parts if not (self.path / name).is_dir()}

    def config(self, component: str) -> dict[str, Any]:
        """The settings of one component.

        Raises:
            UserError: the component has none.
        """
        name = "scheduler_config.json" if component == "scheduler" else "config.json"
        file = self.path / component / name
        if not file.is_file():
            raise UserError(f"{self.path} has no {component}/{name}: the folder is incomplete, copy it again.")
        config: dict[str, Any] = read_json(file)
        return config

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which its transformer lies.

        Raises:
            UserError: there are no weights as safetensors.
        """
        for file in sorted((self.path / "transformer").glob("*.safetensors")):
            with safe_open(file, framework="pt") as weights:
                for name in weights.keys():  # noqa: SIM118 (it is no mapping)
                    dtype: torch.dtype = weights.get_tensor(name).dtype
                    return dtype
        raise UserError(f"{self.path} has no transformer/*.safetensors: the folder is incomplete, copy it again.")

    @cached_property
    def vae_scale_factor(self) -> int:
        """Pixels a latent stands for, along height and width."""
        vae = self.config("vae")
        if "block_out_channels" in vae:
            return int(2 ** (len(vae["block_out_channels"]) - 1))
        return int(vae.get("scale_factor_spatial", 8))

    @property
    def default_resolution(self) -> Resolution:
        """What a student was trained at; of other folders, what the stock pipeline draws unasked."""
        if (self.path / STUDENT_CARD).is_file():
            return Resolution(**read_json(self.path / STUDENT_CARD)["resolution"])
        if self.pipeline == "WanPipeline":
            return Resolution(height=480, width=832, frames=81)
        # FLUX has no size of its own in its configs; its pipeline assumes 128 latents.
        side = self.config("transformer").get("sample_size", 128) * self.vae_scale_factor
        return Resolution(height=side, width=side)

    def image_tokens(self, resolution: Resolution) -> int:
        """Tokens of one frame: patches of two by two latents."""
        patch = 2 * self.vae_scale_factor
        return (resolution.height // patch) * (resolution.width // patch)
