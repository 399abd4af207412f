"""Full training: every role is a whole transformer of its own."""

import copy
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from rats_train.engine.blocks import compile_blocks
from rats_train.methods.base import Role


class Copies:
    """The roles as copies of ``transformer``, which becomes the first trainable one."""

    def __init__(self, transformer: nn.Module, roles: Mapping[str, Role]) -> None:
        trainable = [name for name, role in roles.items() if role.trainable]
        self._copies = {name: _frozen_copy(transformer) for name, role in roles.items() if not role.trainable}
        trained = [transformer, *(copy.deepcopy(transformer) for _ in trainable[1:])]
        self._copies |= dict(zip(trainable, trained, strict=True))

    def transformer(self, name: str) -> nn.Module:
        """What computes as the role."""
        return self._copies[name]

    def own(self, name: str) -> nn.Module:
        """What the role has for itself: all of it."""
        return self._copies[name]

    def recompute_blocks(self) -> None:
        """Keep no activations of a block, and compute them again on the way back."""
        for network in self._copies.values():
            cast(Any, network).enable_gradient_checkpointing()

    def compile_blocks(self) -> None:
        """Compile every block of every role."""
        for network in self._copies.values():
            compile_blocks(network)

    def stock(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The whole transformer's weights under stock names, of a role's own ``weights``."""
        return dict(weights)

    def lora(self, weights: Mapping[str, Tensor]) -> None:
        """No adapter: whole weights are not of low rank."""


def _frozen_copy(transformer: nn.Module) -> nn.Module:
    return copy.deepcopy(transformer).float().requires_grad_(False).eval()
