"""Which layers of a transformer LoRA adapts: a pure function of their names, so that a plan needs no weights."""

import re
from collections.abc import Sequence

from rats_train.errors import UserError

LAYERS = (
    *("to_q", "to_k", "to_v", "to_out.0"),
    *("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"),
    *("net.0.proj", "net.2"),
)
"""Ends of the names of the projections of attention and feed-forward in SD3, FLUX and Wan; none has all of them."""


def adapted_layers(linear: Sequence[str], targets: Sequence[str] | None) -> list[str]:
    """Those names of ``linear`` layers that end in one of ``targets``; None takes those of `LAYERS` that there are.

    Raises:
        UserError: a target is the end of no name, or of `LAYERS` there is none.
    """
    for target in targets or ():
        if not any(_ends(name, target) for name in linear):
            raise UserError(
                f"training.lora.targets: no linear layer of the teacher's transformer ends in {target}; "
                f"write some of {', '.join(_kinds(linear))}."
            )
    found = [name for name in linear if any(_ends(name, target) for target in targets or LAYERS)]
    if not found:
        raise UserError(
            f"training.lora.targets is null, and the teacher's transformer has none of {', '.join(LAYERS)}; "
            f"write some of {', '.join(_kinds(linear))}."
        )
    return found


def _ends(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")


def _kinds(linear: Sequence[str]) -> list[str]:
    """Names without the number of their block, each once."""
    return list(dict.fromkeys(re.sub(r"^\w+\.\d+\.", "", name) for name in linear))
