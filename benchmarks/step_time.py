"""Time and memory of one RATS step on full-size architectures with random weights, phase by phase, on one GPU.

    python -m benchmarks.step_time

Rows go to ``benchmarks/results/step_time.csv``: for each model, with an online 50-step teacher and with a store, the
median over steps of every phase and of the whole step, and the peak of memory. The setting is the paper's: 512 x 512,
5 steps of the student, 50 of the teacher, batch 1.
"""

import itertools
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from diffusers import DiffusionPipeline

from benchmarks.full_size import PROMPT, as_model, flux1_dev, sd35_medium, vit_h
from benchmarks.table import exit_status, write_rows
from rats_train.config import Recipe, load_recipe
from rats_train.engine.ranks import Ranks, join_ranks
from rats_train.engine.roles import Roles
from rats_train.errors import UserError
from rats_train.methods.base import StepContext
from rats_train.methods.build import build_method
from rats_train.models.base import FlowModel
from rats_train.phases import timed_phases
from rats_train.provenance import source_commit
from rats_train.resolution import Resolution
from rats_train.rewards.base import RewardModel
from rats_train.trajectories.manifest import stored_indices
from rats_train.trajectories.prompts import PromptBatch
from rats_train.trajectories.reader import TrajectoryBatch

RESULTS: Final = Path(__file__).parent / "results" / "step_time.csv"
SIZE: Final = Resolution(height=512, width=512)
MODELS: Final[dict[str, Callable[[torch.device], DiffusionPipeline]]] = {
    "flux1_dev": flux1_dev,
    "sd35_medium": sd35_medium,
}
WARM_UP, STEPS = 2, 5
PORT: Final = "29531"


@dataclass(frozen=True)
class Row:
    """One line: the median seconds of one phase (or of the step) and the peak of memory of the whole run."""

    gpu: str
    torch: str
    commit: str
    model: str
    resolution: str
    student_steps: int
    batch: int
    teacher: str
    phase: str
    seconds_p50: float
    peak_gb: float


def measure(name: str, recipe: Recipe, model: FlowModel, rewards: Sequence[RewardModel], ranks: Ranks) -> Iterator[Row]:
    """The rows of one model and one source of the teacher."""
    method = build_method(recipe)
    roles = Roles(method.roles, model.transformer, recipe.training, ranks, recipe.seed)
    batch = _batch(recipe, model, rewards) if method.needs_trajectories else _prompts(recipe)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    taken: list[dict[str, float]] = []
    for step in range(WARM_UP + STEPS):
        context = StepContext(step, model, rewards, roles.modules, recipe.training.recompute in ("step", "both"))
        with timed_phases() as seconds:
            losses = method.step(batch, context).losses
            roles.learn(losses, dict.fromkeys(losses, recipe.training.learning_rate))
        taken.append({**seconds, "step": sum(seconds.values())})
    peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
    for phase in taken[-1]:
        yield Row(
            gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
            torch=torch.__version__,
            commit=source_commit(),
            model=name,
            resolution=str(model.resolution),
            student_steps=recipe.student.steps[0],
            batch=recipe.training.batch_size,
            teacher=recipe.teacher.source,
            phase=phase,
            seconds_p50=statistics.median(step[phase] for step in taken[WARM_UP:]),
            peak_gb=peak,
        )


def _prompts(recipe: Recipe) -> PromptBatch:
    rows = tuple(range(recipe.training.batch_size))
    return PromptBatch(rows, (PROMPT,) * len(rows), rows)


def _batch(recipe: Recipe, model: FlowModel, rewards: Sequence[RewardModel]) -> TrajectoryBatch:
    """What a store would give: its numbers are random, and cost what others do."""
    plain, shape, indices = _prompts(recipe), model.latent_shape, stored_indices(recipe)
    return TrajectoryBatch(
        plain.rows,
        plain.prompts,
        plain.seeds,
        indices=tuple(indices),
        x0=torch.randn(len(plain), len(indices), *shape),
        final=torch.randn(len(plain), *shape),
        rewards={reward.name: torch.zeros(len(plain)) for reward in rewards},
    )


def setting(name: str, source: str, folder: Path) -> Recipe:
    """The packaged recipe in the paper's setting, with the teacher whose configs are in ``folder``."""
    paper = ["student.steps=[5]", "training.batch_size=1", f"teacher.source={source}"]
    reward = ["rewards.train=[{name: vit_h, path: none}]", "rewards.heldout=[]"]
    return load_recipe(name, [*paper, *reward, f"teacher.path={folder}"])


def run() -> None:
    """Measure everything, and write the table after each model and source.

    Raises:
        UserError: there is no GPU.
    """
    if not torch.cuda.is_available():
        raise UserError("no GPU found: benchmarks.step_time measures on CUDA or ROCm; run it on such a machine")
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": PORT}
    ranks, rows = join_ranks(), []
    for name, source in itertools.product(MODELS, ("store", "ema")):
        with tempfile.TemporaryDirectory() as folder:
            model = as_model(MODELS[name](ranks.device), SIZE, Path(folder))
            recipe = setting(name, source, Path(folder))
            rows += measure(name, recipe, model, [vit_h(ranks.device)], ranks)
        write_rows(RESULTS, rows)
        del model
        torch.cuda.empty_cache()
    sys.stdout.write("".join(f"{row.model} {row.teacher} {row.phase}: {row.seconds_p50:.2f} s\n" for row in rows))


if __name__ == "__main__":
    sys.exit(exit_status(run))
