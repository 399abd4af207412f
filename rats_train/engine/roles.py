"""The roles of a method made real: DeepSpeed engines for those that train, plain copies for the rest."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deepspeed
import torch
from deepspeed.utils import safe_get_full_fp32_param
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rats_train.config import Training
from rats_train.engine.ranks import Ranks
from rats_train.methods.base import STUDENT, Role
from rats_train.phases import phase

SERVED = "served"
"""The role that the engine adds to a method's: the moving average of the student, which is watched and exported."""


class Roles:
    """Every role of a method and the served student, all beginning with the weights of ``transformer`` (which becomes
    one of them)."""

    def __init__(self, roles: Mapping[str, Role], transformer: nn.Module, training: Training, ranks: Ranks) -> None:
        served = Role(average_of=STUDENT, decay=training.ema_decay)
        self._roles, self._ranks = {**roles, SERVED: served}, ranks
        self._copies = {name: _frozen_copy(transformer) for name, role in self._roles.items() if not role.trainable}
        trainable = [name for name, role in roles.items() if role.trainable]
        weights = [transformer, *(copy.deepcopy(transformer) for _ in trainable[1:])]
        self.engines = {name: _engine(module, training, ranks) for name, module in zip(trainable, weights, strict=True)}
        if training.compile:
            for network in (*self._copies.values(), *weights):
                _compile_blocks(network)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a method calls as a transformer, by role."""
        return {**self._copies, **self.engines}

    def learn(self, losses: Mapping[str, Tensor], learning_rate: float) -> dict[str, float]:
        """One optimiser step for each loss; the norm of its gradient before clipping, by role."""
        return {name: _learn(self.engines[name], loss, learning_rate) for name, loss in losses.items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the averaged roles towards what they follow, after training step ``step`` (counted from 0)."""
        for name, role in self._roles.items():
            if role.average_of is None or role.decay == 1 or (step + 1) % role.every:
                continue
            followed = self.engines[role.average_of].module.parameters()
            for average, leader in zip(self._copies[name].parameters(), followed, strict=True):
                average.lerp_(_full(leader), 1 - role.decay)

    def save(self, folder: Path) -> None:
        """Write all roles below ``folder``: DeepSpeed's own files for engines, safetensors for averages."""
        for name, engine in self.engines.items():
            engine.save_checkpoint(str(folder), tag=name, save_latest=False)
        if self._ranks.first:
            for name in self._averages():
                save_file(self._copies[name].state_dict(), folder / f"{name}.safetensors")

    def load(self, folder: Path) -> None:
        """Bring all roles back to what `save` wrote."""
        for name, engine in self.engines.items():
            engine.load_checkpoint(str(folder), tag=name)
        for name in self._averages():
            self._copies[name].load_state_dict(load_file(folder / f"{name}.safetensors"))

    def bytes_to_save(self) -> int:
        """About how much `save` writes over all ranks: weights, their master copy and two moments of each."""
        parameters = sum(
            _size(parameter) for engine in self.engines.values() for parameter in engine.module.parameters()
        )
        averages = sum(_size(parameter) for name in self._averages() for parameter in self._copies[name].parameters())
        return 16 * parameters + 4 * averages

    def state_dict(self, name: str) -> dict[str, Tensor]:
        """All weights of a role on the CPU, gathered from the ranks where they are spread; every rank must ask."""
        state = {}
        module = self._copies[name] if name in self._copies else self.engines[name].module
        for key, tensor in module.state_dict(keep_vars=True).items():
            with _gathered(tensor):
                state[key] = tensor.detach().cpu().clone()
        return state

    def _averages(self) -> list[str]:
        return [name for name, role in self._roles.items() if role.average_of is not None]


def _frozen_copy(transformer: nn.Module) -> nn.Module:
    return copy.deepcopy(transformer).float().requires_grad_(False).eval()


def _compile_blocks(transformer: nn.Module) -> None:
    """Compile every block alone: they are alike, so it is the work of one, and none of the whole network's."""
    for layers in transformer.children():
        for block in layers if isinstance(layers, nn.ModuleList) else ():
            block.compile()


def _engine(module: nn.Module, training: Training, ranks: Ranks) -> Any:
    optimizer = torch.optim.AdamW(module.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    engine, *_ = deepspeed.initialize(model=module.train(), optimizer=optimizer, config=_config(training, ranks))
    return engine


def _config(training: Training, ranks: Ranks) -> dict[str, Any]:
    return {
        "train_batch_size": training.batch_size,
        "train_micro_batch_size_per_gpu": training.batch_size // ranks.size,
        "gradient_clipping": training.max_grad_norm,
        "zero_optimization": {"stage": training.zero_stage},
        "bf16": {"enabled": training.precision == "bf16"},
        # Any optimiser of torch is right for ZeRO; DeepSpeed's own Adam would be compiled at first use.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": None,
    }


def _learn(engine: Any, loss: Tensor, learning_rate: float) -> float:
    for group in engine.optimizer.param_groups:
        group["lr"] = learning_rate
    with phase("backward"):
        engine.backward(loss)
    norm = None
    if engine.zero_optimization_stage() == 0 and not engine.bfloat16_enabled():
        # Plain data-parallel training in fp32 is the one mode in which DeepSpeed keeps no norm.
        norm = nn.utils.get_total_norm([p.grad for p in engine.module.parameters() if p.grad is not None])
    with phase("optimiser"):
        engine.step()
    return float(engine.get_global_grad_norm() if norm is None else norm)


def _full(parameter: nn.Parameter) -> Tensor:
    """The whole fp32 value of a parameter that ZeRO may have cut up or rounded; every rank must ask."""
    full: Tensor | None = safe_get_full_fp32_param(parameter)
    return parameter.float() if full is None else full.view(parameter.shape if parameter.numel() else full.shape)


def _size(parameter: Any) -> int:
    """Elements of a parameter, whole or partitioned by ZeRO-3."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


@contextmanager
def _gathered(tensor: Tensor) -> Iterator[None]:
    """Make a ZeRO-3 parameter whole for a while; anything else is whole already."""
    with deepspeed.zero.GatheredParameters([tensor], enabled=hasattr(tensor, "ds_id")):
        yield
