"""The roles of a method made real: DeepSpeed engines for those that train, plain modules for the rest."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deepspeed
import torch
from deepspeed.utils import safe_get_full_fp32_param
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rats_train.config import Training
from rats_train.engine.adapters import Adapters
from rats_train.engine.copies import Copies
from rats_train.engine.ranks import Ranks
from rats_train.files import read_json
from rats_train.methods.base import STUDENT, Role
from rats_train.phases import phase

ZERO = Path(__file__).parent / "zero"
"""DeepSpeed's settings for each stage of ZeRO. Any optimiser of torch is right for ZeRO, so it may be an untested one;
DeepSpeed's own Adam would be compiled at first use."""
SERVED = "served"
"""The role that the engine adds to a method's: the moving average of the student, which is watched and exported."""


class Roles:
    """Every role of a method and the served student, all beginning with the weights of ``transformer`` (which is
    taken over and changed).

    Args:
        roles: the method's, by name.
        transformer: the teacher's, on the device of this rank.
        training: the recipe's section.
        ranks: the ranks of this run.
        seed: decides what is random in new adapters.

    Raises:
        UserError: a LoRA target matches no layer.
    """

    def __init__(
        self, roles: Mapping[str, Role], transformer: nn.Module, training: Training, ranks: Ranks, seed: int
    ) -> None:
        served = Role(average_of=STUDENT, decay=training.ema_decay)
        self._roles, self._ranks = {**roles, SERVED: served}, ranks
        self._weights = _weights(self._roles, transformer, training, seed)
        if training.recompute in ("block", "both"):
            self._weights.recompute_blocks()
        if training.compile:
            self._weights.compile_blocks()
        transformers = {name: self._weights.transformer(name) for name in self._roles}
        self.engines = {
            name: _engine(transformers.pop(name), training, ranks) for name, role in roles.items() if role.trainable
        }
        self.modules: dict[str, nn.Module] = {**transformers, **self.engines}
        """What a method calls as a transformer, by role."""

    def learn(self, losses: Mapping[str, Tensor], rates: Mapping[str, float]) -> dict[str, float]:
        """One optimiser step for each loss, at the role's rate; the norm of its gradient before clipping, by role."""
        return {name: _learn(self.engines[name], loss, rates[name]) for name, loss in losses.items()}

    @torch.no_grad()
    def follow(self, step: int, learned: Collection[str]) -> None:
        """Move the averages of roles that ``learned`` in training step ``step`` (counted from 0) towards them."""
        for name, role in self._roles.items():
            if role.average_of not in learned or role.decay == 1 or (step + 1) % role.every:
                continue
            assert role.average_of is not None
            followed = self._weights.own(role.average_of).parameters()
            for average, leader in zip(self._weights.own(name).parameters(), followed, strict=True):
                average.lerp_(_full(leader), 1 - role.decay)

    def save(self, folder: Path) -> None:
        """Write all roles below ``folder``: DeepSpeed's own files for engines, safetensors for averages."""
        for name, engine in self.engines.items():
            engine.save_checkpoint(str(folder), tag=name, save_latest=False)
        if self._ranks.first:
            for name in self._averages():
                save_file(self._weights.own(name).state_dict(), folder / f"{name}.safetensors")

    def load(self, folder: Path) -> None:
        """Bring all roles back to what `save` wrote."""
        for name, engine in self.engines.items():
            engine.load_checkpoint(str(folder), tag=name)
        for name in self._averages():
            self._weights.own(name).load_state_dict(load_file(folder / f"{name}.safetensors"))

    def bytes_to_save(self) -> int:
        """About how much `save` writes over all ranks: weights, their master copy and two moments of each."""
        return 16 * sum(map(self._size, self.engines)) + 4 * sum(map(self._size, self._averages()))

    def weights(self, name: str) -> dict[str, Tensor]:
        """What a role has for itself, on the CPU, gathered from the ranks where it is spread; every rank must ask."""
        state = {}
        for key, tensor in self._weights.own(name).state_dict(keep_vars=True).items():
            with _gathered(tensor):
                state[key] = tensor.detach().cpu().clone()
        return state

    def stock(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The whole transformer's weights under stock names, on the CPU, of what `weights` gave."""
        return self._weights.stock(weights)

    def lora(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """The adapter of what `weights` gave, to be added at scale 1; None where there is none."""
        return self._weights.lora(weights)

    def _averages(self) -> list[str]:
        return [name for name, role in self._roles.items() if role.average_of is not None]

    def _size(self, name: str) -> int:
        """Elements of what a role has for itself, wherever they lie."""
        return sum(_elements(parameter) for parameter in self._weights.own(name).parameters())


def _weights(roles: Mapping[str, Role], transformer: nn.Module, training: Training, seed: int) -> Copies | Adapters:
    if training.lora is None:
        return Copies(transformer, roles)
    # DeepSpeed rounds what it trains, and sees no more of the transformer than the adapters.
    base = transformer.bfloat16() if training.precision == "bf16" else transformer
    return Adapters(base, roles, training.lora, seed)


def _engine(module: nn.Module, training: Training, ranks: Ranks) -> Any:
    optimizer = torch.optim.AdamW(module.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    engine, *_ = deepspeed.initialize(model=module.train(), optimizer=optimizer, config=_config(training, ranks))
    return engine


def _config(training: Training, ranks: Ranks) -> dict[str, Any]:
    """DeepSpeed's settings: what a stage of ZeRO asks for, as a file, and what the recipe says."""
    stage: dict[str, Any] = read_json(ZERO / f"stage_{training.zero_stage}.json")
    return stage | {
        "train_batch_size": training.batch_size,
        "train_micro_batch_size_per_gpu": training.batch_size // ranks.size,
        "gradient_clipping": training.max_grad_norm,
        "bf16": {"enabled": training.precision == "bf16"},
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


def _elements(parameter: Any) -> int:
    """Elements of a parameter, whole or partitioned by ZeRO-3."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


@contextmanager
def _gathered(tensor: Tensor) -> Iterator[None]:
    """Make a ZeRO-3 parameter whole for a while; anything else is whole already."""
    with deepspeed.zero.GatheredParameters([tensor], enabled=hasattr(tensor, "ds_id")):
        yield
