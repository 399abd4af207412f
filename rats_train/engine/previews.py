"""Pictures of the student while it learns: the same prompts and seeds each time, at every budget."""

from pathlib import Path

import torch
from torch import Tensor, nn

from rats_train.config import Recipe
from rats_train.evaluation.pictures import GridRow, draw_grid, to_picture
from rats_train.models.base import FlowModel
from rats_train.sampling.draw import draw
from rats_train.sampling.schedule import student_sigmas
from rats_train.trajectories.prompts import PromptBatch
from rats_train.trajectories.reader import TrajectoryBatch

PREVIEWED = 4
_TILE = 160


def preview_columns(
    recipe: Recipe, model: FlowModel, student: nn.Module, batch: PromptBatch, device: torch.device
) -> dict[str, Tensor]:
    """Images[B, 3, H, W] of a batch by column title: the teacher's where they are stored, the student's at each budget.

    Every rank must call: under ZeRO-3 each holds a part of the student's weights.
    """
    columns = {}
    if isinstance(batch, TrajectoryBatch):
        with torch.no_grad():
            columns[f"teacher {recipe.teacher.steps}"] = model.decode(batch.final.to(device)).cpu()
    for steps in sorted(recipe.student.steps, reverse=True):
        columns[f"student {steps}"] = draw(
            model,
            batch.prompts,
            batch.seeds,
            sigmas=student_sigmas(recipe, steps),
            guidance_scale=recipe.student_guidance_scale,
            batch_size=PREVIEWED,
            transformer=student,
        )
    return columns


def save_preview(path: Path, batch: PromptBatch, columns: dict[str, Tensor]) -> None:
    """Write the columns as one captioned picture."""
    pixels = [(images * 255).round().to(torch.uint8) for images in columns.values()]
    rows = [
        GridRow(prompt, [to_picture(images[number], _TILE) for images in pixels])
        for number, prompt in enumerate(batch.prompts)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_grid(list(columns), rows).save(path)
