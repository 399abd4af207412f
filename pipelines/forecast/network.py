"""How large a teacher is, from its configs and the headers of its weights: no weight is loaded."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rats_train.config import Lora, Recipe
from rats_train.embedded import teacher_folder
from rats_train.models.folder import PipelineFolder
from rats_train.models.lora import adapted_layers
from rats_train.resolution import Resolution
from rats_train.rewards.folder import spec_folder

# Tokens of the text encoders beside or under the image's: CLIP's and T5's of SD3, T5's alone of FLUX.
_CLIP_TOKENS, _SD3_T5_TOKENS, _FLUX_T5_TOKENS = 77, 256, 512
# Frames that one more latent of Wan's autoencoder holds.
_FRAMES_A_LATENT = 4


@dataclass(frozen=True)
class Network:
    """Sizes of a teacher and of what trains it.

    Attributes:
        transformer: its parameters.
        trained: those that a student of it trains: all, or an adapter's.
        used: parameters that one token passes through, on average; networks of two streams have half for each.
        text_encoders: parameters.
        decoder: parameters of the autoencoder; ``decoder_width`` are the channels of its widest feature map.
        rewards: parameters of the reward models that are trained on here, not on a server.
        tokens: of one sample, image and text together, as far as they pass through the blocks.
        layers: blocks, ``width`` numbers a token.
        pixels: of one sample, all frames together.
    """

    transformer: int
    trained: int
    used: float
    text_encoders: int
    decoder: int
    decoder_width: int
    rewards: int
    tokens: int
    layers: int
    width: int
    pixels: int

    @property
    def flops(self) -> float:
        """Floating-point operations of one transformer evaluation of one sample: products with weights, attention."""
        return 2 * self.used * self.tokens + 4 * self.layers * self.tokens**2 * self.width


def read_network(recipe: Recipe) -> Network:
    """Sizes of the recipe's teacher.

    Raises:
        UserError: the folder is no pipeline, or a target of ``training.lora`` matches no layer.
    """
    folder = PipelineFolder(teacher_folder(recipe.teacher.path))
    config, shapes = folder.config("transformer"), _shapes(folder.path / "transformer")
    resolution = recipe.resolution or folder.default_resolution
    vae = folder.config("vae")
    lora = recipe.training.lora
    return Network(
        transformer=_size(shapes),
        trained=count_adapted(shapes, lora) if lora else _size(shapes),
        used=_used(folder, shapes),
        text_encoders=sum(count_parameters(part) for part in folder.path.glob("text_encoder*")),
        decoder=count_parameters(folder.path / "vae"),
        decoder_width=vae.get("base_dim") or vae["block_out_channels"][0],
        rewards=sum(count_parameters(folder) for folder in _reward_folders(recipe)),
        tokens=_tokens(folder, resolution),
        layers=config["num_layers"] + config.get("num_single_layers", 0),
        width=config["num_attention_heads"] * config["attention_head_dim"],
        pixels=resolution.height * resolution.width * resolution.frames,
    )


def count_parameters(folder: Path) -> int:
    """Numbers stored in the safetensors files of a folder, read from their headers."""
    return _size(_shapes(folder))


def _reward_folders(recipe: Recipe) -> list[Path]:
    return [spec_folder(spec) for spec in recipe.rewards.train if spec.path and spec.kind != "remote"]


def count_adapted(shapes: dict[str, list[int]], lora: Lora) -> int:
    """Parameters of one adapter on a transformer of these ``shapes``: rank numbers for each way into a layer and out.

    Raises:
        UserError: a target matches no layer.
    """
    # The weights of two axes are those of linear layers in all families.
    layers = {name.removesuffix(".weight"): shape for name, shape in shapes.items() if len(shape) == 2}
    return sum(lora.rank * sum(layers[name]) for name in adapted_layers(list(layers), lora.targets))


def _used(folder: PipelineFolder, shapes: dict[str, list[int]]) -> float:
    """Of SD3 and of FLUX's joint blocks half: one stream each for image and text."""
    if folder.pipeline == "WanPipeline":
        return _size(shapes)
    single = _size({name: shape for name, shape in shapes.items() if name.startswith("single_transformer_blocks.")})
    return single + (_size(shapes) - single) / 2


def _tokens(folder: PipelineFolder, resolution: Resolution) -> int:
    image = folder.image_tokens(resolution)
    if folder.pipeline == "WanPipeline":
        return image * ((resolution.frames - 1) // _FRAMES_A_LATENT + 1)
    if folder.pipeline == "FluxPipeline":
        return image + _FLUX_T5_TOKENS
    clip = folder.config("text_encoder").get("max_position_embeddings", _CLIP_TOKENS)
    # Without the encoder one token stands for all of its padding.
    return image + int(clip) + (1 if folder.left_out else _SD3_T5_TOKENS)


def _size(shapes: dict[str, list[int]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of every tensor in the safetensors files of a folder, by name."""
    headers = [_header(file) for file in sorted(folder.glob("*.safetensors"))]
    return {name: tensor["shape"] for header in headers for name, tensor in header.items() if name != "__metadata__"}


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, Any] = json.loads(stream.read(length))
    return header
