"""How much memory one rank of a training needs, part by part: a forecast from sizes alone."""

from collections.abc import Mapping

from pipelines.forecast.network import Network
from pipelines.forecast.training_cost import row_cost
from rats_train.config import Recipe, Training
from rats_train.recipe_methods import RtdmdMethod

# Tensors of a token's width that a transformer block keeps for its backward pass.
KEPT_PER_BLOCK = 34
# Numbers that a decoder keeps for each pixel, in units of the channels of its widest feature map.
KEPT_PER_PIXEL = 36
FLOAT = 4


def estimate_memory(recipe: Recipe, network: Network) -> Mapping[str, int]:
    """Bytes on each rank: weights and states (as far as ZeRO spreads them), frozen parts, activations of one batch."""
    training = recipe.training
    number = _bytes_a_number(training)
    base = network.transformer * number if training.lora else 0
    encoders = 0 if training.offload_text_encoders else network.text_encoders * number
    rows = training.batch_size // training.world_size
    # RTDMD trains a fake score beside its student, and keeps its teacher as a network.
    matches = isinstance(recipe.method, RtdmdMethod)
    parts = {
        "trained weights, gradients and optimiser": (1 + matches) * network.trained * _bytes_trained(training),
        "frozen teacher": network.transformer * FLOAT if matches and not training.lora else 0,
        "served average": network.trained * FLOAT,
        "frozen transformer": base,
        "text encoders": encoders,
        "decoder and rewards": (network.decoder + network.rewards) * FLOAT,
        "activations of the transformer": rows * _transformer_activations(recipe, network) * number,
        "activations of the decoder": rows * network.pixels * network.decoder_width * KEPT_PER_PIXEL * FLOAT,
    }
    return {name: int(size) for name, size in parts.items() if size}


def _bytes_a_number(training: Training) -> int:
    return 2 if training.precision == "bf16" else FLOAT


def _bytes_trained(training: Training) -> float:
    """Of one trained parameter: weight, gradient in fp32, AdamW's moments and, beside bf16 weights, a master copy."""
    ranks, stage = training.world_size, training.zero_stage
    weight, gradient = _bytes_a_number(training), FLOAT
    optimiser = 2 * FLOAT + (FLOAT if training.precision == "bf16" else 0)
    spread = [weight if stage >= 3 else 0, gradient if stage >= 2 else 0, optimiser if stage >= 1 else 0]
    return weight + gradient + optimiser - sum(spread) * (1 - 1 / ranks)


def _transformer_activations(recipe: Recipe, network: Network) -> int:
    """Numbers kept for the way back of one row: of every step or of one, in every block or in one."""
    recompute = recipe.training.recompute
    blocks = network.layers + KEPT_PER_BLOCK if recompute in ("block", "both") else network.layers * KEPT_PER_BLOCK
    steps = 1 if recompute in ("step", "both") else row_cost(recipe).kept
    return steps * blocks * network.tokens * network.width
