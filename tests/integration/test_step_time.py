"""The benchmark of a step, on a tiny model in the place of the full-size ones; those need a GPU."""

import csv
from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionConfig

from benchmarks import full_size, step_time
from benchmarks.full_size import EMBEDS, VisionReward, as_model
from benchmarks.step_time import measure, setting
from benchmarks.table import exit_status, write_rows
from rats_train.engine.ranks import Ranks
from rats_train.resolution import Resolution
from tests.integration.conftest import changed
from tests.tiny_pipelines import tiny_flux, tiny_sd3

PHASES = ["student", "decode", "reward", "backward", "optimiser", "step"]


@pytest.mark.parametrize(("name", "source"), [("flux1_dev", "store"), ("flux1_dev", "ema"), ("sd35_medium", "ema")])
def test_a_step_is_timed_phase_by_phase(
    name: str,
    source: str,
    ranks: Ranks,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    pipeline = tiny_flux() if name == "flux1_dev" else tiny_sd3(t5=True)
    monkeypatch.setitem(EMBEDS, type(pipeline), (7, 32, 16 if name == "flux1_dev" else 32))
    monkeypatch.setattr(step_time, "STEPS", 1)
    model = as_model(pipeline, Resolution(height=64, width=64), tmp_path)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPVisionConfig(**sizes, patch_size=8, image_size=16, projection_dim=8)
    recipe = setting(name, source, tmp_path)
    recipe = changed(recipe, "training", precision="fp32", lora={"rank": 2})
    recipe = changed(recipe, "teacher", steps=6)
    rows = list(measure(name, recipe, model, [VisionReward(config, torch.device("cpu"))], ranks))
    assert [row.phase for row in rows] == (["teacher"] if source == "ema" else []) + PHASES
    assert rows[-1].seconds_p50 == pytest.approx(sum(row.seconds_p50 for row in rows[:-1]))
    write_rows(tmp_path / "rows.csv", rows)
    assert [row["phase"] for row in csv.DictReader((tmp_path / "rows.csv").open())] == [row.phase for row in rows]


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing where there is no GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(step_time.run) == 2
    assert "no GPU found" in capsys.readouterr().err


@pytest.mark.parametrize(("make", "billions"), [("FLUX", 11.9), ("SD35_MEDIUM", 2.24)])
def test_the_architectures_have_their_published_sizes(make: str, billions: float) -> None:
    kind = full_size.FluxTransformer2DModel if make == "FLUX" else full_size.SD3Transformer2DModel
    with torch.device("meta"):
        network = kind(**getattr(full_size, make))
    assert sum(weight.numel() for weight in network.parameters()) / 1e9 == pytest.approx(billions, rel=0.02)
