"""The released head of LAION's aesthetic predictor, beside the CLIP model that it reads."""

import shutil
from pathlib import Path

import torch

from rats_train.rewards.aesthetic import HEAD_FILE
from rats_train.rewards.convert.checkpoint import read_checkpoint, shape, write_weights
from rats_train.rewards.score_head import ScoreHead


def convert(checkpoint: str | Path, clip: str | Path, out: str | Path) -> None:
    """Make the folder ``out`` that rewards of kind ``aesthetic`` read: a copy of ``clip`` with the head in it.

    Args:
        checkpoint: sac+logos+ava1-l14-linearMSE.pth.
        clip: a folder with openai/clip-vit-large-patch14 as safetensors.
        out: the folder to make.

    Raises:
        UserError: the checkpoint is missing, or is not of such a head.
    """
    weights = read_checkpoint(checkpoint)
    with torch.device("meta"):
        expected = ScoreHead(shape(weights, "layers.0.weight")[1]).state_dict()
    write_weights(weights, expected, Path(out) / HEAD_FILE)
    names = ("*.json", "*.txt", "model*.safetensors")
    for file in (file for name in names for file in Path(clip).glob(name)):
        shutil.copyfile(file, Path(out) / file.name)
