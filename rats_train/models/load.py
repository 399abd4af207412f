"""A stock diffusers folder as the model of its family."""

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import DiffusionPipeline

from rats_train.errors import UserError
from rats_train.models.base import FlowModel
from rats_train.models.flux import Flux
from rats_train.models.folder import PipelineFolder
from rats_train.models.schedule import read_schedule
from rats_train.models.sd3 import SD3
from rats_train.models.wan import Wan
from rats_train.resolution import Resolution

FAMILIES: Final = {"sd3": "StableDiffusion3Pipeline", "flux": "FluxPipeline", "wan": "WanPipeline"}
"""The pipeline class of each family."""
_MODELS: Final[dict[str, Any]] = {"StableDiffusion3Pipeline": SD3, "FluxPipeline": Flux, "WanPipeline": Wan}


def load_model(
    path: str | Path,
    resolution: Resolution | None = None,
    dtype: torch.dtype = torch.float32,
    *,
    family: str | None = None,
) -> FlowModel:
    """Load the pipeline in ``path``; nothing is fetched.

    Args:
        path: a stock diffusers folder of safetensors.
        resolution: what it will draw; None: its own default.
        dtype: precision of all its parts but the decoder, whose rounding would show in every picture.
        family: the family that it must be of; None: any.

    Raises:
        UserError: the folder is missing, or is the pipeline of another family or of none.
    """
    folder = PipelineFolder(path)
    wanted = [FAMILIES[family]] if family else list(FAMILIES.values())
    if folder.pipeline not in wanted:
        raise UserError(_other_family(folder, family))
    resolution = resolution or folder.default_resolution
    schedule = read_schedule(folder, resolution)
    dtypes = {"default": dtype, "vae": torch.float32}
    pipeline = DiffusionPipeline.from_pretrained(
        path, dtype=dtypes, use_safetensors=True, local_files_only=True, **folder.left_out
    )
    model: FlowModel = _MODELS[folder.pipeline](pipeline, schedule, resolution)
    return model


def _other_family(folder: PipelineFolder, family: str | None) -> str:
    of = {name: known for known, name in FAMILIES.items()}.get(folder.pipeline)
    if family is None or of is None:
        known = ", ".join(FAMILIES.values())
        return f"{folder.path} is a {folder.pipeline}; RATS knows {known}: name a folder of one of them."
    return (
        f"{folder.path} is a {folder.pipeline}: the family {family} needs a {FAMILIES[family]} folder; "
        f"write family: {of}, or name another folder."
    )
