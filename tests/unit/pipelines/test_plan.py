"""The plan: what is counted, what is reused, and that it reads no weights."""

import pytest
import torch
from safetensors.torch import save_file

from components.shared.keys import step_keys
from components.shared.step import run_step
from components.shared.workspace import WORKSPACE_VARIABLE
from pipelines.estimate import (
    count_adapted,
    count_evaluations,
    count_parameters,
    count_pictures,
    estimate_memory,
    forecast,
    read_network,
)
from pipelines.plan import plan
from pipelines.training_cost import RowCost, row_cost
from rats_train.config import Lora, load_recipe
from rats_train.engine.adapters import Adapters
from rats_train.evaluation.arms import plan_arms
from rats_train.methods.base import Role
from rats_train.models.load import load_model
from tests.tiny_pipelines import tiny_flux, tiny_sd3, tiny_wan


@pytest.fixture
def recipe(tiny_pipeline_dir, tiny_reward_dir, tmp_path):
    """A function from overrides to a recipe over the tiny models."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"name: tiny\nteacher: {{path: {tiny_pipeline_dir}}}\n"
        f"rewards: {{train: [{{name: a, path: {tiny_reward_dir}}}]}}\n"
    )
    return lambda *overrides: load_recipe(str(path), overrides)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_evaluations_counted_are_those_of_the_arms(recipe, guidance):
    planned = recipe(f"teacher.guidance_scale={guidance}")
    images = planned.evaluation.count * planned.evaluation.images_per_prompt
    drawn = sum(arm.evaluations for arm in plan_arms(planned)) * images
    assert count_evaluations(planned)["evaluate_rewards"] == drawn
    assert count_pictures(planned)["evaluate_rewards"] == len(plan_arms(planned)) * images


def test_an_online_teacher_costs_its_rollouts(recipe):
    stored, online = (count_evaluations(recipe(f"teacher.source={kind}")) for kind in ("store", "ema"))
    draws = recipe().training.steps * recipe().training.batch_size
    assert online["train_student"] - stored["train_student"] == draws * 50 * 2


@pytest.mark.parametrize(
    ("overrides", "evaluations", "pictures", "kept"),
    [
        (["method.name=rats"], 5 * 3, 3, 8),
        (["method.name=rats", "method.backprop_steps=2"], 5 * 3, 3, 2),
        (["method.name=distill"], 5 * 3, 1, 8),
        (["method.name=reward_only", "method.backprop_steps=2"], 5 * 3, 3, 2),
        (["method.name=grpo", "method.group_size=4"], 5 + 4 * (4 * 3 + 1), 5, 4 * 7),
        (["method.name=grpo", "method.group_size=4", "method.kl_weight=1"], 5 + 4 * (4 * 4 + 1), 5, 4 * 7),
        (["method.name=rats_grpo", "method.group_size=4"], 5 * 3 + 4 * (4 * 3 + 1), 1 + 4, 8 + 4 * 7),
    ],
)
def test_every_method_has_its_price(recipe, overrides, evaluations, pictures, kept):
    assert row_cost(recipe("student.steps=[2,5,8]", *overrides)) == RowCost(evaluations, pictures, kept)


def test_parameters_are_counted_from_headers(tmp_path, tiny_pipeline_dir):
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert count_parameters(tmp_path) == 17
    loaded = load_model(tiny_pipeline_dir).transformer
    persistent = sum(tensor.numel() for tensor in loaded.state_dict().values())
    assert read_network(tiny_pipeline_dir).transformer == persistent


def test_zero_shards_the_states(recipe, tiny_pipeline_dir):
    network = read_network(tiny_pipeline_dir)
    alone = estimate_memory(recipe(), network)
    two = estimate_memory(recipe("training.world_size=2"), network)
    assert two < alone
    assert all(seconds > 0 for seconds in forecast(recipe(), tiny_pipeline_dir)["seconds"].values())


@pytest.mark.parametrize("make", [tiny_sd3, tiny_flux, tiny_wan])
def test_what_an_adapter_trains_is_counted_from_headers(tmp_path, make):
    transformer = make().transformer
    transformer.save_pretrained(tmp_path)
    adapter = Adapters(transformer, {"student": Role(trainable=True)}, Lora(rank=3), seed=0).own("student")
    assert count_adapted(tmp_path, Lora(rank=3)) == sum(weight.numel() for weight in adapter.parameters())


@pytest.mark.parametrize(("precision", "size"), [("fp32", 4), ("bf16", 2)])
def test_an_adapter_takes_its_own_states_and_the_base_once(recipe, tiny_pipeline_dir, precision, size):
    planned = recipe("training.lora.rank=2", "training.world_size=2", f"training.precision={precision}")
    network = read_network(tiny_pipeline_dir, planned.training.lora)
    assert 0 < network.trained < network.transformer / 4
    whole = estimate_memory(recipe("training.world_size=2"), read_network(tiny_pipeline_dir))
    saved = network.transformer * (16 / 2 + 4 - size) - network.trained * (16 / 2 + 4)
    assert whole - estimate_memory(planned, network) == pytest.approx(saved, abs=1)
    assert forecast(planned, tiny_pipeline_dir)["memory"] == estimate_memory(planned, network)


def test_the_plan_says_what_is_reused(recipe, tmp_path, monkeypatch):
    from rich.console import Console

    def shown() -> str:
        console = Console(width=160)
        with console.capture() as captured:
            console.print(plan(recipe(), tmp_path))
        return captured.get()

    assert "unchanged, will be reused" not in shown()
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(tmp_path))
    key = step_keys(recipe())["generate_trajectories"]
    run_step("generate_trajectories", key, lambda folder, progress: (folder / "store").touch(), {})
    row = next(line for line in shown().splitlines() if line.strip().startswith("generate_trajectories"))
    assert key[:8] in row
    assert "unchanged, will be reused" in row
    assert "terminal_sigma: 0.25" in shown()
