"""LoRA training: every role that moves is an adapter on one frozen transformer, which is in memory once.

The average of a role is the average of its factors. The product of averaged factors is not the average of the products:
with A and B each about its mean, mean(B A) = mean(B) mean(A) + cov(B, A), and the average leaves the covariance out.
It is small while the factors move little within the average's memory, and without it the average stays of ``rank`` and
is an adapter like any other.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rats_train.config import Lora
from rats_train.engine.blocks import compile_blocks
from rats_train.methods.base import Role
from rats_train.models.lora import adapted_layers

_FACTORS = ("lora_A", "lora_B")


class Adapters:
    """The roles as adapters on ``transformer``, which is frozen and changed in place; a role that neither trains nor
    averages has none.

    Args:
        transformer: the base, in the precision that it shall compute in.
        roles: the roles by name.
        lora: rank, scale and layers.
        seed: decides the factors A, the same for all roles; the factors B begin at 0, so that all equal the base.

    Raises:
        UserError: a target matches no layer.
    """

    def __init__(self, transformer: nn.Module, roles: Mapping[str, Role], lora: Lora, seed: int) -> None:
        linear = [name for name, layer in transformer.named_modules() if isinstance(layer, nn.Linear)]
        targets = adapted_layers(linear, lora.targets)
        adapted = [name for name, role in roles.items() if role.trainable or role.average_of]
        self._trainable = {name for name, role in roles.items() if role.trainable}
        self._base, self._scale = transformer, lora.scale
        _inject(transformer, adapted, targets, lora, seed)
        self._layers: dict[str, Any] = {name: transformer.get_submodule(name) for name in targets}
        self._own = {name: self._factors(name) for name in roles}
        self._active = adapted[0]

    def transformer(self, name: str) -> nn.Module:
        """What computes as the role."""
        # DeepSpeed gets the factors alone; of a role that it does not wrap the base's precision is what callers ask.
        return AdaptedTransformer(self, name, self._own[name] if name in self._trainable else self._base)

    def own(self, name: str) -> nn.Module:
        """What the role has for itself: its factors, by the stock name of their layer."""
        return self._own[name]

    def recompute_blocks(self) -> None:
        """Keep no activations of a block, and compute them again on the way back, with the adapter of the way there."""

        def recomputed(block: nn.Module, *args: Any) -> Any:
            active = self._active

            def run(*inputs: Any) -> Any:
                self._switch(active)
                return block(*inputs)

            return checkpoint(run, *args, use_reentrant=False)

        cast(Any, self._base).enable_gradient_checkpointing(recomputed)

    def compile_blocks(self) -> None:
        """Compile every block of the base."""
        compile_blocks(self._base)

    def stock(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The whole transformer's weights under stock names, of a role's own ``weights``: W + scale B A, on the CPU."""
        state = {
            key.replace(".base_layer.", "."): tensor.cpu().clone()
            for key, tensor in self._base.state_dict().items()
            if not any(f".{factor}." in key for factor in _FACTORS)
        }
        for name in self._layers if weights else ():
            a, b = (weights[f"{name}.{factor}.weight"].float() for factor in _FACTORS)
            state[f"{name}.weight"] += self._scale * (b @ a)
        return state

    def lora(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The factors alone, with the scale in B: at the scale 1 that every reader takes unasked."""
        return {key: weight * (self._scale if ".lora_B." in key else 1) for key, weight in weights.items()}

    def compute(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """The base with the role's adapter on it, or with none where the role has none."""
        self._switch(name)
        return self._base(*args, **kwargs)

    def _switch(self, name: str) -> None:
        self._active = name
        for layer in self._layers.values():
            # peft's own switch also stops the gradients of the adapters that it switches off, and with them those of
            # a graph that waits for its way back while another role computes.
            layer._active_adapter = [name]

    def _factors(self, role: str) -> nn.Module:
        modules = {
            f"{name}.{factor}": getattr(layer, factor)[role]
            for name, layer in self._layers.items()
            for factor in _FACTORS
            if role in getattr(layer, factor)
        }
        return _tree(modules).requires_grad_(role in self._trainable)


class AdaptedTransformer(nn.Module):
    """One role of `Adapters` as a transformer; switches its adapter on at every call.

    So it is right as well where it is called again on the way back (``torch.utils.checkpoint`` around it), after
    another role. Recomputation inside the base is called by no role: `Adapters.recompute_blocks` sees to that.

    Args:
        adapters: whose role it is.
        name: of the role.
        shown: the module whose parameters count as its own.
    """

    def __init__(self, adapters: Adapters, name: str, shown: nn.Module) -> None:
        super().__init__()
        self._adapters, self._name, self.shown = adapters, name, shown

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the base gives with this role's adapter."""
        return self._adapters.compute(self._name, *args, **kwargs)


def _inject(transformer: nn.Module, names: list[str], targets: list[str], lora: Lora, seed: int) -> None:
    """Put an adapter for each name on the layers ``targets``."""
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha or lora.rank, target_modules=targets)
    first, *others = names
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = get_peft_model(transformer, config, adapter_name=first)
        for name in others:
            torch.manual_seed(seed)
            adapted.add_adapter(name, config)


def _tree(modules: Mapping[str, nn.Module]) -> nn.Module:
    """A module that holds ``modules`` under their dotted names."""
    root = nn.Module()
    for name, module in modules.items():
        *path, last = name.split(".")
        node = root
        for part in path:
            if part not in dict(node.named_children()):
                node.add_module(part, nn.Module())
            node = node.get_submodule(part)
        node.add_module(last, module)
    return root
