"""The pictures of one arm as one file: pixels, how long they took, and the key that says what they were drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save
from torch import Tensor

from rats_train.errors import UserError
from rats_train.files import atomic_write_bytes, sha256_json


@dataclass(frozen=True)
class Draws:
    """The pictures of one arm, ``uint8[N, 3, H, W]``, prompt by prompt, and the seconds that drawing them took."""

    images: Tensor
    seconds: float


def draws_path(folder: Path, arm: str) -> Path:
    """Where an evaluation folder keeps the pictures of an arm."""
    return folder / "arms" / f"{arm}.safetensors"


def draws_key(facts: Mapping[str, Any]) -> str:
    """Digest of everything that the pixels depend on: equal facts, equal pictures."""
    return sha256_json(facts)


def save_draws(path: Path, draws: Draws, key: str) -> None:
    """Write an arm, whole or not at all."""
    metadata = {"key": key, "seconds": repr(draws.seconds)}
    atomic_write_bytes(path, save({"images": draws.images.contiguous()}, metadata=metadata))


def load_draws(path: Path, key: str | None = None) -> Draws | None:
    """Read an arm; None when there is none, or when it was drawn from other facts than ``key``.

    Raises:
        UserError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            if key is not None and metadata["key"] != key:
                return None
            return Draws(file.get_tensor("images"), float(metadata["seconds"]))
    except (safetensors.SafetensorError, KeyError) as error:
        raise UserError(f"The pictures in {path} are damaged ({error}): delete the file and evaluate again.") from error
