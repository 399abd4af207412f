"""The repeated blocks of a transformer."""

from torch import nn


def compile_blocks(transformer: nn.Module) -> None:
    """Compile every block alone: they are alike, so it is the work of one, and none of the whole network's."""
    for layers in transformer.children():
        for block in layers if isinstance(layers, nn.ModuleList) else ():
            block.compile()
