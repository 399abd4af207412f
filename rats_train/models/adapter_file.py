"""The file of a LoRA adapter as diffusers writes it, looked at without loading a weight."""

from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from rats_train.errors import UserError

ADAPTER_FILE: Final = "pytorch_lora_weights.safetensors"
"""What diffusers calls it."""


def check_adapter(file: Path) -> None:
    """Refuse a file that holds anything but LoRA factors of a transformer.

    Raises:
        UserError: it is missing, is not safetensors, or adapts something else, such as a text encoder.
    """
    if not file.is_file():
        raise UserError(f"no LoRA adapter at {file}: name a {ADAPTER_FILE}, or the folder that holds one")
    try:
        with safe_open(file, framework="pt") as tensors:
            names = list(tensors.keys())
    except SafetensorError as error:
        raise UserError(f"{file} is not a safetensors file ({error}): write the adapter again") from error
    others = [name for name in names if not (name.startswith("transformer.") and ".lora_" in name)]
    if others or not names:
        found = others[0] if others else "nothing"
        raise UserError(f"{file} holds {found}: an adapter holds LoRA factors of the transformer alone")
