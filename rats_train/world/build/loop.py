"""A small resumable training loop for the models of the embedded world.

Weights, their moving average and the Adam moments are kept as safetensors, so that a killed build goes on where it
stopped. Every batch is a function of (seed, step): a resumed run sees the same data as an undisturbed one.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rats_train.learning_rate import learning_rate

Loss = Callable[[int, torch.Generator], tuple[Tensor, dict[str, float]]]

SAVE_EVERY_SECONDS: Final = 120.0
WARMUP: Final = 100


class Checkpoint:
    """Everything that a resumed build needs, in one safetensors file."""

    def __init__(self, path: Path, model: nn.Module, ema: dict[str, Tensor], optimizer: torch.optim.AdamW) -> None:
        self.path, self.model, self.ema, self.optimizer = path, model, ema, optimizer

    def save(self, step: int) -> None:
        """Write beside the old file, then replace it."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
        part = self.path.with_suffix(".part")
        save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, part, {"step": str(step)})
        part.replace(self.path)

    def load(self) -> int:
        """Restore everything; the number of steps done, 0 where there is no checkpoint."""
        if not self.path.exists():
            return 0
        tensors = load_file(self.path)
        self.model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        self.ema.update({k[4:]: v for k, v in tensors.items() if k.startswith("ema.")})
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("adam."):
                _, index, name = key.split(".")
                state.setdefault(int(index), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        return int(next(iter(state.values()))["step"].item()) if state else 0


def train(
    model: nn.Module,
    loss: Loss,
    *,
    name: str,
    steps: int,
    peak_lr: float,
    work: Path,
    seed: int,
    ema_decay: float = 0.0,
) -> None:
    """Train ``model`` in place; leaves it holding the moving average of its weights (decay 0: the last weights)."""
    work.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak_lr, betas=(0.9, 0.99), weight_decay=0.01)
    ema = {k: v.detach().clone() for k, v in model.state_dict().items()}
    checkpoint = Checkpoint(work / f"{name}.safetensors", model, ema, optimizer)
    done, saved, began = checkpoint.load(), time.monotonic(), time.monotonic()
    columns = (
        TextColumn(name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[log]}"),
    )
    with Progress(*columns) as progress, (work / f"{name}.jsonl").open("a") as log:
        task = progress.add_task(name, total=steps, completed=done, log="")
        for step in range(done, steps):
            optimizer.param_groups[0]["lr"] = learning_rate(step, steps, peak_lr, WARMUP)
            value, metrics = loss(step, torch.Generator().manual_seed(seed * 1_000_003 + step))
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            decay = min(ema_decay, (step + 1) / (step + 10))
            for key, current in model.state_dict().items():
                ema[key].lerp_(current.detach(), 1.0 - decay) if ema_decay else ema[key].copy_(current)
            if step % 50 == 0 or step == steps - 1:
                record = {"step": step, "loss": value.item(), "seconds": time.monotonic() - began, **metrics}
                log.write(json.dumps(record) + "\n")
                log.flush()
                progress.update(task, completed=step + 1, log=f"loss {value.item():.4f}")
            if time.monotonic() - saved > SAVE_EVERY_SECONDS or step == steps - 1:
                checkpoint.save(step + 1)
                saved = time.monotonic()
    model.load_state_dict(ema)
