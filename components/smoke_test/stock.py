"""What stock diffusers draws from a student's folder, knowing nothing of us."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from serving.package.contents import Package


def draw_stock(student: Path, package: "Package", seed: int) -> dict[int, NDArray[np.uint8]]:
    """The canary's prompt by number of steps: pictures uint8[H, W, 3], or videos uint8[T, H, W, 3]."""
    import torch
    from diffusers import DiffusionPipeline

    from rats_train.models.folder import PipelineFolder

    pipe = DiffusionPipeline.from_pretrained(student, **PipelineFolder(student).left_out)
    pipe.set_progress_bar_config(disable=True)
    pipe.to("cuda" if torch.cuda.is_available() else "cpu")
    size = {"height": package.resolution.height, "width": package.resolution.width}
    frames = {"num_frames": package.resolution.frames} if package.is_video else {}
    drawn = {}
    for steps in package.steps:
        answer = pipe(
            package.canary.prompt,
            num_inference_steps=steps,
            guidance_scale=package.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
            **size,
            **frames,
        )
        (unit,) = answer.frames if package.is_video else answer.images
        drawn[steps] = (unit * 255).round().astype(np.uint8)
    return drawn
