"""A released checkpoint in, checked weights as safetensors out."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from rats_train.errors import UserError


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a .pt or .pth file, or of its ``state_dict``; nothing in it is executed.

    Raises:
        UserError: there is no such file, or it holds anything but tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"No checkpoint {path}: name the file that the reward model was released as.")
    try:
        # The one place that reads the format of released files: restricted to tensors, so no code runs.
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged and forbidden content fails in ways that torch does not list
        raise UserError(
            f"{path} is no checkpoint of tensors alone, or it is damaged: download it again, from its own source."
        ) from error
    weights = found.get("state_dict", found) if isinstance(found, dict) else {}
    if (
        not isinstance(weights, dict)
        or not weights
        or not all(isinstance(weight, Tensor) for weight in weights.values())
    ):
        raise UserError(f"{path} holds no state dict: name the file that the reward model was released as.")
    return dict(weights)


def write_weights(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: Path) -> None:
    """Write ``weights`` as float32 if their names and shapes are those of ``expected``.

    Raises:
        UserError: they are not; names the first that differs.
    """
    shapes, wanted = ({name: list(weight.shape) for name, weight in each.items()} for each in (weights, expected))
    different = sorted(name for name in shapes | wanted if shapes.get(name) != wanted.get(name))
    if different:
        name = different[0]
        raise UserError(
            f"The checkpoint does not fit {file.parent}: {name} is {shapes.get(name, 'absent')} and should be "
            f"{wanted.get(name, 'absent')}; name the file that the reward model was released as."
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.float().contiguous() for name, weight in weights.items()}, file, metadata={"format": "pt"})


def check_words(words: int, embedded: int, folder: str | Path, name: str) -> None:
    """Refuse a tokenizer of another vocabulary; from an empty folder, transformers reads one of a few words.

    Raises:
        UserError: ``folder`` has another number of words than the checkpoint embeds.
    """
    if words != embedded:
        raise UserError(
            f"The checkpoint knows {embedded:,} words, and the tokenizer in {folder} has {words:,}: name a folder with "
            f"the tokenizer of {name}."
        )


def part(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def shape(weights: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """The shape of one weight that tells something of the architecture.

    Raises:
        UserError: it is not there.
    """
    if name not in weights:
        raise UserError(f"The checkpoint has no {name}: name the file that the reward model was released as.")
    return tuple(weights[name].shape)


def depth(weights: Mapping[str, Tensor], blocks: str) -> int:
    """How many different numbers follow ``blocks`` in the names."""
    return len({name.removeprefix(blocks).split(".")[0] for name in weights if name.startswith(blocks)})
