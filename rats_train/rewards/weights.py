"""A network of ours filled from a safetensors file, frozen."""

from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from rats_train.errors import UserError

Network = TypeVar("Network", bound=nn.Module)


def load_weights(network: Network, file: Path, name: str) -> Network:
    """Fill ``network`` from ``file``, which must hold just its parameters, and freeze it.

    Raises:
        UserError: the file of reward ``name`` is no safetensors file, or its tensors have other names or shapes.
    """
    try:
        network.load_state_dict(load_file(file))
    except (RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{file} does not hold the weights of reward {name} ({str(error).splitlines()[-1].strip()}): "
            "convert the released checkpoint again."
        ) from error
    network.eval().requires_grad_(False)
    return network
