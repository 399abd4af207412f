"""Memory that ran out in a training step: said in one line, with what would help."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rats_train.config import Recipe
from rats_train.errors import OutOfMemoryError
from rats_train.phases import failed_phase

_SUGGESTED = 3


@contextmanager
def out_of_memory_explained(recipe: Recipe, step: int, kept: str) -> Iterator[None]:
    """Turn a failed allocation into one sentence, which says what is ``kept`` of the training; other failures pass.

    Raises:
        OutOfMemoryError: memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not _is_allocation(error):
            raise
        what = failed_phase() or "step"
        raise OutOfMemoryError(
            f"Out of memory in the {what} phase of step {step + 1}{_use()}; {kept} is kept. "
            f"Set {', '.join(remedies(recipe))}, and run again."
        ) from error


def remedies(recipe: Recipe) -> list[str]:
    """The settings that would help most and are not in force, the cheapest first."""
    training = recipe.training
    ways = {
        "training.recompute=both": training.recompute != "both",
        "training.offload_text_encoders=true": not training.offload_text_encoders,
        "training.precision=bf16": training.precision != "bf16",
        "training.lora={rank: 64}": training.lora is None,
        "training.zero_stage=3": training.zero_stage != 3 and training.world_size > 1,
        f"training.batch_size={training.batch_size // 2}": training.batch_size // 2 >= training.world_size,
        "a smaller resolution": True,
        "fewer student.steps": len(recipe.student.steps) > 1,
        "teacher.source=store": recipe.teacher.source != "store",
    }
    return [way for way, helps in ways.items() if helps][:_SUGGESTED]


def _is_allocation(error: Exception) -> bool:
    # On a processor torch has no class of its own for it.
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _use() -> str:
    if not torch.cuda.is_available():
        return ""
    free, total = torch.cuda.mem_get_info()
    return f" ({(total - free) / 2**30:.1f} of {total / 2**30:.1f} GiB in use)"
