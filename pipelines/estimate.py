"""How long a recipe will take and how much memory it needs, from its numbers and the files of its models.

A forecast, not a measurement: multiplications are counted, and divided by the speed of a short matrix product on this
machine. On the shipped recipe it lands within a factor of two.
"""

import json
import math
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.shared.process import usable_cores
from pipelines.training_cost import row_cost
from rats_train.config import Lora, Recipe
from rats_train.evaluation.heldout import WATCHED, WATCHED_SEEDS, watched_budget
from rats_train.files import read_json
from rats_train.models.lora import adapted_layers

# Small matrices, Python and copies keep a network below the speed of one large matrix product: what the embedded
# teacher reached on two virtual cores, within a quarter in each of the three steps.
EFFICIENCY = 0.8
# Decoding and judging one picture, in transformer evaluations of the embedded teacher.
PICTURE = 2
# Imports, loading, the first call.
SETUP_SECONDS = 10
# fp32 weights, gradients and AdamW's two moments, which ZeRO spreads over the ranks.
BYTES_PER_TRAINED_PARAMETER = 16
# The moving average in fp32, whole on every rank.
BYTES_PER_AVERAGED_PARAMETER = 4
BYTES_PER_FROZEN_PARAMETER = 4
# The base under LoRA adapters computes in the precision of training.
BYTES_PER_BASE_PARAMETER = {"fp32": 4, "bf16": 2}
# Tensors of a token's width that a transformer block keeps for its backward pass.
KEPT_PER_BLOCK = 34


@dataclass(frozen=True)
class Network:
    """The size of a teacher: parameters of its parts, and tokens and layers of its transformer; ``trained`` counts
    what a student of it trains, all of the transformer or an adapter on it."""

    transformer: int
    trained: int
    others: int
    tokens: int
    layers: int
    width: int

    @property
    def flops(self) -> float:
        """Floating-point operations of one transformer evaluation of one image.

        Each of SD3's two streams, image and text, passes its tokens through its own half of the parameters.
        """
        return float(self.transformer * self.tokens)


def read_network(teacher: Path, lora: Lora | None = None) -> Network:
    """Size of a stock diffusers SD3 folder, from its configs and the headers of its weights; no weight is loaded.

    Raises:
        UserError: a target of ``lora`` matches no layer.
    """
    config = read_json(teacher / "transformer" / "config.json")
    text = read_json(teacher / "text_encoder" / "config.json")
    patches = (config["sample_size"] // config["patch_size"]) ** 2
    parts = {part.name: count_parameters(part) for part in teacher.iterdir() if part.is_dir()}
    transformer = parts.pop("transformer")
    return Network(
        transformer=transformer,
        trained=count_adapted(teacher / "transformer", lora) if lora else transformer,
        others=sum(parts.values()),
        # One more stands for the padding of the T5 encoder that is not there.
        tokens=patches + text["max_position_embeddings"] + 1,
        layers=config["num_layers"],
        width=config["num_attention_heads"] * config["attention_head_dim"],
    )


def count_parameters(folder: Path) -> int:
    """Numbers stored in the safetensors files of a folder, read from their headers."""
    return sum(math.prod(shape) for shape in _shapes(folder).values())


def _shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of every tensor in the safetensors files of a folder, by name."""
    headers = [_header(file) for file in sorted(folder.glob("*.safetensors"))]
    return {name: tensor["shape"] for header in headers for name, tensor in header.items() if name != "__metadata__"}


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, Any] = json.loads(stream.read(length))
    return header


def count_adapted(transformer: Path, lora: Lora) -> int:
    """Parameters of one adapter on the transformer in a folder: rank numbers for each way into a layer and out of it.

    Raises:
        UserError: a target matches no layer.
    """
    # The weights of two axes are those of linear layers in all families.
    layers = {name.removesuffix(".weight"): shape for name, shape in _shapes(transformer).items() if len(shape) == 2}
    return sum(lora.rank * sum(layers[name]) for name in adapted_layers(list(layers), lora.targets))


def count_evaluations(recipe: Recipe) -> dict[str, float]:
    """Transformer evaluations of one image, by step of the pipeline; a trained one counts with its backward pass."""
    guided = 1 if recipe.teacher.guidance_scale == 1 else 2
    budgets, full = recipe.student.steps, recipe.teacher.steps
    images = recipe.evaluation.count * recipe.evaluation.images_per_prompt
    rollout = full * guided
    few = sum(steps * (1 + guided + (guided > 1)) for steps in budgets)
    return {
        "generate_trajectories": float(recipe.trajectories.count * rollout),
        "train_student": _training_rows(recipe) * row_cost(recipe).evaluations
        + _watched_images(recipe) * watched_budget(budgets),
        "evaluate_rewards": float(images * (few + full + rollout)),
    }


def _training_rows(recipe: Recipe) -> int:
    return recipe.training.steps * recipe.training.batch_size


def count_pictures(recipe: Recipe) -> dict[str, float]:
    """Pictures decoded and judged, by step of the pipeline; one that is trained through counts with its way back."""
    guided = recipe.teacher.guidance_scale != 1
    arms = len(recipe.student.steps) * (2 + guided) + 2
    return {
        "generate_trajectories": float(recipe.trajectories.count),
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
    rate = flops_per_second * EFFICIENCY / network.flops
    pictures = count_pictures(recipe)
    return {
        step: SETUP_SECONDS + (evaluations + PICTURE * pictures[step]) / rate
        for step, evaluations in count_evaluations(recipe).items()
    }


def estimate_memory(recipe: Recipe, network: Network) -> int:
    """Bytes that training needs on each rank: states (sharded by ZeRO), frozen parts, and activations of one batch."""
    ranks = recipe.training.world_size if recipe.training.zero_stage else 1
    states = network.trained * (BYTES_PER_TRAINED_PARAMETER / ranks + BYTES_PER_AVERAGED_PARAMETER)
    if recipe.training.lora:
        states += network.transformer * BYTES_PER_BASE_PARAMETER[recipe.training.precision]
    kept = row_cost(recipe).kept * network.tokens * network.layers * network.width * KEPT_PER_BLOCK * 4
    batch = recipe.training.batch_size // recipe.training.world_size
    return int(states + network.others * BYTES_PER_FROZEN_PARAMETER + batch * kept)


def measure_flops(size: int = 768, bursts: int = 5, seconds: float = 0.05) -> float:
    """Floating-point operations a second of single-precision matrix products on all usable cores together.

    Together, because two virtual cores are often the halves of one. The best of a few bursts counts, because other
    programs rest between theirs.
    """
    import torch  # what will multiply; numpy's own products are several times slower

    threads = torch.get_num_threads()
    torch.set_num_threads(usable_cores())
    matrix = torch.ones(size, size)
    matrix @ matrix
    best = max(_rate(lambda: matrix @ matrix, seconds) for _ in range(bursts))
    torch.set_num_threads(threads)
    return 2.0 * size**3 * best


def _rate(work: Callable[[], object], seconds: float) -> float:
    """How often a second ``work`` is done."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        work()
        count += 1
    return count / (time.perf_counter() - began)


def forecast(recipe: Recipe, teacher: Path) -> Mapping[str, Any]:
    """Memory in bytes, and seconds by step, for this machine."""
    network = read_network(teacher, recipe.training.lora)
    return {"memory": estimate_memory(recipe, network), "seconds": estimate_seconds(recipe, network, measure_flops())}
