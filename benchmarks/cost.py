"""What each recipe costs on a GPU, by the forecast of `rats plan` over teachers of their published sizes.

    python -m benchmarks.cost        # writes docs/cost.md; needs neither a GPU nor weights

The counts follow from recipe and architecture. Hours follow from them and from an assumed speed: none was measured.
"""

import json
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel, WanTransformer3DModel

from benchmarks.full_size import FLUX, SD35_MEDIUM, VAE
from components.shared.summary import table
from pipelines.forecast.estimate import EFFICIENCY, count_evaluations, estimate_scoring, estimate_seconds
from pipelines.forecast.network import Network, read_network
from rats_train.config import Recipe, load_recipe
from rats_train.files import atomic_write_text, write_json

PAGE: Final = Path(__file__).parents[1] / "docs/cost.md"
WAN21_1_3B: Final = {
    "num_attention_heads": 12,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 8960,
    "num_layers": 30,
}
WAN_VAE: Final = {"base_dim": 96, "scale_factor_spatial": 8}
OUTLINES: Final[Mapping[str, tuple[str, Callable[[], torch.nn.Module], Mapping[str, object]]]] = {
    "sd35_medium": ("StableDiffusion3Pipeline", lambda: SD3Transformer2DModel(**SD35_MEDIUM), VAE),
    "flux1_dev": ("FluxPipeline", lambda: FluxTransformer2DModel(**FLUX), VAE),
    "wan21_t2v_1_3b": ("WanPipeline", lambda: WanTransformer3DModel(**WAN21_1_3B), WAN_VAE),
}
REACHED: Final = 0.6
"""Share of the data sheet's dense bf16 figure that a large matrix product is taken to reach."""
SHEETS: Final = {"A100": 312e12, "H100": 989e12}


def sized(name: str, folder: Path) -> tuple[Recipe, Network]:
    """A packaged recipe, and the sizes of its teacher as published: an outline of it is put into ``folder``."""
    pipeline, make, vae = OUTLINES[name]
    with torch.device("meta"):
        transformer = make()
    write_json(folder / "model_index.json", {"_class_name": pipeline})
    transformer.save_config(folder / "transformer")
    _write_header(folder / "transformer/model.safetensors", transformer)
    write_json(folder / "vae/config.json", dict(vae))
    write_json(folder / "text_encoder/config.json", {})
    (folder / "text_encoder_3").mkdir()  # SD3.5 has its T5
    reward = '[{name: a, path: "embedded:a"}]'  # small, and no part of the time
    recipe = load_recipe(name, [f"teacher.path={folder}", f"rewards.train={reward}"])
    return recipe, read_network(recipe)


def _write_header(file: Path, module: torch.nn.Module) -> None:
    """The shapes of a network's weights as a safetensors file without the weights."""
    tensors = {name: {"shape": list(weight.shape)} for name, weight in module.state_dict().items()}
    header = json.dumps(tensors).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header)


def rows() -> list[list[str]]:
    """A row a recipe: its counts, then hours by step and GPU."""
    made = []
    for name in OUTLINES:
        with tempfile.TemporaryDirectory() as folder:
            recipe, network = sized(name, Path(folder))
        evaluations = sum(count_evaluations(recipe).values())
        row = [f"`{name}`", f"{network.transformer / 1e9:.1f} B", f"{network.flops / 1e12:.1f}", f"{evaluations:,.0f}"]
        for sheet in SHEETS.values():
            hours = {step: each / 3600 for step, each in estimate_seconds(recipe, network, REACHED * sheet).items()}
            again = hours | {"generate_trajectories": estimate_scoring(recipe, network, REACHED * sheet) / 3600}
            row += [f"{each:.1f}" for each in (*hours.values(), sum(hours.values()), sum(again.values()))]
        made.append(row)
    return made


def page() -> str:
    """The whole of docs/cost.md."""
    steps = ("teacher", "training", "judging", "**in all**", "new reward")
    head = ["recipe", "teacher", "TFLOP a pass", "passes"]
    head += [f"{gpu}: {step}" for gpu in SHEETS for step in steps]
    speeds = ", ".join(f"{gpu} {sheet * REACHED / 1e12:.0f}" for gpu, sheet in SHEETS.items())
    return f"""# What a recipe costs

GPU hours of a whole run of each packaged recipe, made by `python -m benchmarks.cost` from what `rats plan` counts.

{table(head, rows())}

* A *pass* is one transformer evaluation of one sample; one with its way back counts as three and more. How many there
  are follows from the recipe, and what one costs from the architecture: neither is an estimate.
* *Hours* are a forecast, and **no GPU has been measured**: passes and decoded pictures over {EFFICIENCY:.0%} of the
  speed of a large matrix product, which is taken as {REACHED:.0%} of the data sheet ({speeds} TFLOP/s in bf16).
  `rats plan` on your machine measures that speed and takes it instead. On the CPU, for the recipe `emoji`, the forecast
  was within a factor of two of the run.
* Hours are of one GPU. Several share them: trajectories and judging divide by the number, training nearly so.
* *teacher* is paid once for a teacher, its prompts and seeds, and is reused by every training with the same. So *new
  reward* is what a retraining on one costs: what the teacher drew is decoded and scored, then all that follows is done.
* Not in it: loading models, waiting for nodes, a reward that is served elsewhere.

The recipe `emoji` needs no GPU: 12 minutes on two CPU cores (measured, [README](../README.md)).
"""


if __name__ == "__main__":
    atomic_write_text(PAGE, page())
