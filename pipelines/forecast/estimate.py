"""How long a recipe will take and how much memory it needs, from its numbers and the files of its models.

A forecast, not a measurement: multiplications are counted, and divided by the speed of a short matrix product on this
machine. On the shipped recipe it lands within a factor of two.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from components.shared.process import usable_cores
from pipelines.forecast.memory import estimate_memory
from pipelines.forecast.network import Network, read_network
from pipelines.forecast.training_cost import row_cost
from rats_train.config import Recipe
from rats_train.evaluation.heldout import WATCHED, WATCHED_SEEDS, watched_budget

# Small matrices, Python and copies keep a network below the speed of one large matrix product: what the embedded
# teacher reached on two virtual cores, within a quarter in each of the three steps.
EFFICIENCY = 0.8
# Decoding and judging one picture, in transformer evaluations of the embedded teacher.
PICTURE = 2
# Imports, loading, the first call.
SETUP_SECONDS = 10


def count_evaluations(recipe: Recipe) -> dict[str, float]:
    """Transformer evaluations of one image, by step of the pipeline; a trained one counts with its backward pass."""
    guided = recipe.teacher_evaluations
    budgets, full = recipe.student.steps, recipe.teacher.steps
    images = recipe.evaluation.count * recipe.evaluation.images_per_prompt
    rollout = full * guided
    few = sum(steps * (1 + guided + (guided > 1)) for steps in budgets)
    return {
        "generate_trajectories": float(recipe.stored_rollouts * rollout),
        "train_student": _training_rows(recipe) * row_cost(recipe).evaluations
        + _watched_images(recipe) * watched_budget(budgets),
        "evaluate_rewards": float(images * (few + full + rollout)),
    }


def _training_rows(recipe: Recipe) -> int:
    return recipe.training.steps * recipe.training.batch_size


def count_pictures(recipe: Recipe) -> dict[str, float]:
    """Pictures decoded and judged, by step of the pipeline; one that is trained through counts with its way back."""
    guided = recipe.teacher_evaluations > 1
    arms = len(recipe.student.steps) * (2 + guided) + 2
    return {
        "generate_trajectories": float(recipe.stored_rollouts),
        "train_student": float(_training_rows(recipe) * row_cost(recipe).pictures + _watched_images(recipe)),
        "evaluate_rewards": float(recipe.evaluation.count * recipe.evaluation.images_per_prompt * arms),
    }


def _watched_images(recipe: Recipe) -> int:
    """Images that the watch draws over a whole training."""
    every = recipe.training.watch_every
    looks = 1 + math.ceil(recipe.training.steps / every) if every else 0
    return looks * WATCHED * WATCHED_SEEDS


def estimate_seconds(recipe: Recipe, network: Network, flops_per_second: float) -> dict[str, float]:
    """Seconds of each step that draws, on one machine of this speed."""
    pictures = count_pictures(recipe)
    return {
        step: _seconds(evaluations + PICTURE * pictures[step], network, flops_per_second)
        for step, evaluations in count_evaluations(recipe).items()
    }


def estimate_scoring(recipe: Recipe, network: Network, flops_per_second: float) -> float:
    """Seconds of scoring what the teacher drew before by other rewards, on one machine of this speed."""
    return _seconds(PICTURE * count_pictures(recipe)["generate_trajectories"], network, flops_per_second)


def _seconds(evaluations: float, network: Network, flops_per_second: float) -> float:
    return SETUP_SECONDS + evaluations * network.flops / (flops_per_second * EFFICIENCY)


def measure_flops(bursts: int = 5, seconds: float = 0.05) -> float:
    """Floating-point operations a second of matrix products on the accelerator, or on all usable cores together.

    Together, because two virtual cores are often the halves of one. The best of a few bursts counts, because other
    programs rest between theirs.
    """
    import torch  # what will multiply; numpy's own products are several times slower

    from rats_train.devices import accelerator

    device = accelerator()
    size, dtype = (768, torch.float32) if device.type == "cpu" else (8192, torch.bfloat16)
    threads = torch.get_num_threads()
    torch.set_num_threads(usable_cores())
    matrix = torch.ones(size, size, device=device, dtype=dtype)

    def product() -> float:
        return (matrix @ matrix)[0, 0].item()  # asking for a number waits for it

    product()
    best = max(_rate(product, seconds) for _ in range(bursts))
    torch.set_num_threads(threads)
    return 2.0 * size**3 * best


def _rate(work: Callable[[], object], seconds: float) -> float:
    """How often a second ``work`` is done."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        work()
        count += 1
    return count / (time.perf_counter() - began)


@dataclass(frozen=True)
class Forecast:
    """Bytes by what takes them, seconds by step of the pipeline, of one training step, and of scoring what the teacher
    drew before."""

    memory: Mapping[str, int]
    seconds: Mapping[str, float]
    seconds_a_step: float
    scoring_seconds: float


def forecast(recipe: Recipe) -> Forecast:
    """What the recipe will take on this machine.

    Raises:
        UserError: it names something that is not there.
    """
    network = read_network(recipe)
    speed = measure_flops()
    seconds = estimate_seconds(recipe, network, speed)
    a_step = (seconds["train_student"] - SETUP_SECONDS) / recipe.training.steps
    return Forecast(estimate_memory(recipe, network), seconds, a_step, estimate_scoring(recipe, network, speed))
