"""What the engine asks of a training method, and what it gives in return.

The engine wraps, steps, averages and saves whatever roles a method names; it knows no method. A new method is one
class here with losses from `rats_train.losses`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

from rats_train.models.base import FlowModel
from rats_train.rewards.base import RewardModel
from rats_train.trajectories.prompts import PromptBatch

STUDENT = "student"
"""The trainable role that every method has."""


@dataclass(frozen=True)
class Role:
    """One copy of the transformer that a method works with; all begin with the teacher's weights.

    A trainable role has an optimiser of its own; an averaged one follows ``average_of`` by ``decay`` in every
    ``every``-th step, if what it follows learned in it; one that is neither stays as it began.
    """

    trainable: bool = False
    average_of: str | None = None
    decay: float = 1.0
    every: int = 1


@dataclass(frozen=True)
class StepContext:
    """What a method may use in one step: the step's number from 0 on, the frozen models and its roles' weights."""

    step: int
    model: FlowModel
    rewards: Sequence[RewardModel]
    roles: Mapping[str, nn.Module]
    recompute: bool = False
    """Trade time for memory: keep no activations inside the chain, compute them again on the way back."""


@dataclass(frozen=True)
class StepResult:
    """What one rank found on its rows.

    ``losses`` holds one scalar, the mean over the rows, for each trainable role that learns in this step; which ones do
    is a function of the step's number, so that all ranks agree. ``rates`` are multiples of the step's learning rate for
    roles that have their own pace. ``samples`` holds vectors[B] that are recorded for every row and from which
    `Method.summarise` makes the metrics of the whole batch; without any, the step leaves a line of its losses alone.
    """

    losses: Mapping[str, Tensor]
    samples: Mapping[str, Tensor] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)


class Method(Protocol):
    """A training method, built from a recipe."""

    roles: Mapping[str, Role]
    """Its copies of the transformer by name."""
    needs_trajectories: bool
    """Whether its batches come from the store (`TrajectoryBatch`) or hold prompts and seeds alone."""

    def step(self, batch: PromptBatch, context: StepContext) -> StepResult:
        """The losses of one batch, with their graphs.

        Raises:
            UserError: a reward is not finite.
        """
        ...

    def summarise(self, samples: Mapping[str, Tensor]) -> dict[str, float]:
        """Metrics of a global batch from its recorded samples, each a vector over all ranks' rows in order."""
        ...
