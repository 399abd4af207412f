"""Full training: every role is a whole transformer of its own."""

import copy
from collections.abc import Mapping

from torch import Tensor, nn

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

    def stock(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The whole transformer's weights under stock names, of a role's own ``weights``."""
        return dict(weights)

    def lora(self, weights: Mapping[str, Tensor]) -> None:
        """No adapter: whole weights are not of low rank."""


def _frozen_copy(transformer: nn.Module) -> nn.Module:
    return copy.deepcopy(transformer).float().requires_grad_(False).eval()
