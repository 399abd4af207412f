"""The conversion of each kind that is released as a checkpoint, by the kind's name."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from rats_train.errors import UserError
from rats_train.rewards.convert import aesthetic, hpsv2, image_reward

CONVERSIONS: Final[dict[str, Callable[[str | Path, str | Path, str | Path], None]]] = {
    "hpsv2": hpsv2.convert,
    "image_reward": image_reward.convert,
    "aesthetic": aesthetic.convert,
}
"""From kind to its function of the released file, the folder of public parts, and the folder to make."""


def convert(kind: str, checkpoint: Path, parts: Path, out: Path) -> None:
    """Make the folder ``out``.

    Raises:
        UserError: there is no such kind, the checkpoint is missing or is not of it, or its parts are not in ``parts``.
    """
    if kind not in CONVERSIONS:
        raise UserError(
            f"Rewards of kind {kind} are not made of released checkpoints: write one of {', '.join(CONVERSIONS)}; "
            "other kinds read the folder of a transformers model as it is."
        )
    CONVERSIONS[kind](checkpoint, parts, out)
