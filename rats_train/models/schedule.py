"""The noise levels of a stock diffusers folder: those that its own pipeline walks, found without loading a weight."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from rats_train.errors import UserError
from rats_train.models.folder import PipelineFolder
from rats_train.resolution import Resolution


@dataclass(frozen=True)
class Schedule:
    """Euler steps of a flow from sigma 1 to 0.

    Attributes:
        shift: static shift of the noise levels, ``shift s / (1 + (shift - 1) s)``; 1 leaves them evenly spaced.
        mu: shift by resolution in place of it, ``e^mu / (e^mu + 1/s - 1)``, for schedulers that ask for one.
        shift_terminal: the last level before 0, to which the others are stretched; None leaves them.
        to_one_over_n: levels begin evenly from 1 to 1/n (FLUX); else from 1 to the scheduler's least.
        config: the scheduler's own settings.
    """

    shift: float = 1.0
    mu: float | None = None
    shift_terminal: float | None = None
    to_one_over_n: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)

    def sigmas(self, steps: int) -> Tensor:
        """Sigmas[steps + 1], float32, falling from 1 to 0.

        Raises:
            ValueError: fewer than two steps, which cannot both start at 1 and end at ``shift_terminal``.
        """
        if steps < 2 and self.shift_terminal:
            raise ValueError(f"A schedule from 1 to a terminal sigma needs at least 2 steps, not {steps}.")
        scheduler = self.scheduler()
        even = np.linspace(1.0, 1 / steps, steps) if self.to_one_over_n else None
        scheduler.set_timesteps(None if even is not None else steps, sigmas=even, mu=self.mu)
        sigmas: Tensor = scheduler.sigmas
        return sigmas

    def ending_at(self, terminal_sigma: float) -> Self:
        """The same, stretched to end at ``terminal_sigma`` before 0: a student's last step is not wasted next to 0."""
        return replace(self, shift_terminal=terminal_sigma)

    def scheduler(self) -> FlowMatchEulerDiscreteScheduler:
        """The stock scheduler that walks these levels."""
        settings = {**self.config, "shift": self.shift, "shift_terminal": self.shift_terminal}
        return FlowMatchEulerDiscreteScheduler.from_config(settings)


def read_schedule(folder: PipelineFolder, resolution: Resolution) -> Schedule:
    """The schedule of a stock pipeline for pictures of ``resolution``.

    A scheduler that is no Euler one (Wan's UniPC) is replaced by the Euler scheduler of its shift: a student takes too
    few steps for a multistep method to pay.

    Raises:
        UserError: its scheduler is not one of a flow.
    """
    config = folder.config("scheduler")
    euler = config["_class_name"] == FlowMatchEulerDiscreteScheduler.__name__
    if not euler and not config.get("use_flow_sigmas"):
        raise UserError(
            f"{folder.path}/scheduler is a {config['_class_name']}: the flow models that RATS distils draw with a "
            "FlowMatchEulerDiscreteScheduler; put its scheduler_config.json there."
        )
    return Schedule(
        shift=config["shift"] if euler else config["flow_shift"],
        mu=_mu(config, folder.image_tokens(resolution)) if config.get("use_dynamic_shifting") else None,
        shift_terminal=config.get("shift_terminal"),
        to_one_over_n=folder.pipeline == "FluxPipeline",
        config=config if euler else {},
    )


def _mu(config: Mapping[str, Any], tokens: int) -> float:
    """Shift by the number of image tokens, as the stock pipelines weigh them."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift  # seconds to import, and FLUX alone needs it

    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    mu: float = calculate_shift(tokens, *(config[name] for name in names))
    return mu
