"""The plan: what is counted, what is reused, and that it reads no weights."""

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from components.shared.keys import step_keys
from components.shared.step import run_step
from components.shared.workspace import WORKSPACE_VARIABLE
from pipelines.forecast.estimate import count_evaluations, count_pictures, estimate_scoring, estimate_seconds
from pipelines.forecast.memory import estimate_memory
from pipelines.forecast.network import _shapes, count_adapted, count_parameters, read_network
from pipelines.forecast.plan import plan
from pipelines.forecast.training_cost import row_cost
from rats_train.config import Lora, load_recipe
from rats_train.engine.adapters import Adapters
from rats_train.evaluation.arms import plan_arms
from rats_train.methods.base import Role
from rats_train.models.load import load_model
from rats_train.sampling.teacher import load_teacher
from rats_train.trajectories.files import FileEntry
from rats_train.trajectories.shards import note_file, shard_file, write_note
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
    assert online["train_student"] - stored["train_student"] == pytest.approx(draws * 50 * 2)
    assert online["generate_trajectories"] == 0


@pytest.mark.parametrize(
    ("overrides", "evaluations", "pictures", "kept"),
    [
        (["method.name=rats"], 4 * 3, 3, 6),
        (["method.name=rats", "method.backprop_steps=2"], 4 * 3, 3, 2),
        (["method.name=distill"], 4 * 3, 1, 6),
        (["method.name=reward_only", "method.backprop_steps=2"], 4 * 3, 3, 2),
        (["method.name=grpo", "method.group_size=4"], 4 + 4 * (3 * 3 + 1), 5, 4 * 5),
        (["method.name=grpo", "method.group_size=4", "method.kl_weight=1"], 4 + 4 * (3 * 4 + 1), 5, 4 * 5),
        (["method.name=otca", "method.group_size=4"], 4 + 4 * (3 * 3 + 1), 5, 4 * 5),
        # Fake score 3 looks, guided teacher 2; 1.5 steps before the last one; 2 learned steps of 2 and of 5.
        (
            ["method.name=rtdmd", "method.cold_start=1", "method.fake_updates=4"],
            0.75 * (2.5 + 9) + 0.25 * (1.5 + 3 + 2 + 9 + 4),
            0.25,
            4,
        ),
        (
            ["method.name=rtdmd", "method.cold_start=0", "method.group_size=4"],
            4 + 4 * (1 + 2 * 3 + 3 + 2 + 9),
            1 + 4 * 3,
            4 * (2 + 1 + 3),
        ),
        (["method.name=rats_grpo", "method.group_size=4"], 4 * 3 + 4 * (3 * 3 + 1), 1 + 4, 6 + 4 * 5),
    ],
)
def test_every_method_has_its_price(recipe, overrides, evaluations, pictures, kept):
    cost = row_cost(recipe("student.steps=[3,6]", *overrides))
    assert cost.evaluations == pytest.approx(evaluations)
    assert (cost.pictures, cost.kept) == (pictures, kept)


def test_parameters_are_counted_from_headers(tmp_path, recipe, tiny_pipeline_dir):
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, tmp_path / "x.safetensors", metadata={"format": "pt"})
    assert count_parameters(tmp_path) == 17
    loaded = load_model(tiny_pipeline_dir).transformer
    persistent = sum(tensor.numel() for tensor in loaded.state_dict().values())
    assert read_network(recipe()).transformer == persistent


def total(planned):
    return sum(estimate_memory(planned, read_network(planned)).values())


@pytest.mark.parametrize(("stage", "spread"), [(0, 0), (1, 8), (2, 12), (3, 16)])
def test_zero_spreads_optimiser_gradients_and_weights(recipe, stage, spread):
    one, four = (recipe(f"training.zero_stage={stage}", f"training.world_size={ranks}") for ranks in (1, 4))
    trained = "trained weights, gradients and optimiser"
    network = read_network(one)
    saved = estimate_memory(one, network)[trained] - estimate_memory(four, network)[trained]
    assert saved == pytest.approx(network.trained * spread * 3 / 4, abs=1)


@pytest.mark.parametrize(
    "thrifty",
    [
        "training.recompute=step",
        "training.recompute=block",
        "training.offload_text_encoders=true",
        "training.precision=bf16",
    ],
)
def test_what_saves_memory_is_forecast_to(recipe, thrifty):
    assert total(recipe(thrifty)) < total(recipe())


def test_recomputing_costs_time(recipe):
    plain, both = (row_cost(recipe(f"training.recompute={name}")).evaluations for name in ("none", "both"))
    assert both == pytest.approx(plain * 5 / 3)


@pytest.mark.parametrize(
    ("family", "make", "size"),
    [
        ("sd3", lambda: tiny_sd3(t5=True, shift=3.0), (64, 64, 1)),
        ("flux", tiny_flux, (64, 96, 1)),
        ("wan", tiny_wan, (32, 48, 5)),
    ],
)
def test_tokens_are_those_that_pass_through_the_blocks(recipe, tmp_path, family, make, size):
    make().save_pretrained(tmp_path / "teacher")
    height, width, frames = size
    planned = recipe(
        f"family={family}",
        f"teacher.path={tmp_path / 'teacher'}",
        f"resolution={{height: {height}, width: {width}, frames: {frames}}}",
    )
    model, network = load_teacher(planned), read_network(planned)
    seen = []
    block = next(layers[0] for layers in model.transformer.children() if isinstance(layers, torch.nn.ModuleList))

    def note(_, args, kwargs):
        given = [*args, *kwargs.values()][:2]
        seen.append([part.shape[1] for part in given if isinstance(part, torch.Tensor) and part.ndim == 3])

    block.register_forward_pre_hook(note, with_kwargs=True)
    model.velocity(torch.zeros(1, *model.latent_shape), torch.ones(1), model.encode_prompts(["two owls"]))
    assert network.tokens == (seen[0][0] if family == "wan" else sum(seen[0]))


@pytest.mark.parametrize("make", [tiny_sd3, tiny_flux, tiny_wan])
def test_what_an_adapter_trains_is_counted_from_headers(tmp_path, make):
    transformer = make().transformer
    transformer.save_pretrained(tmp_path)
    adapter = Adapters(transformer, {"student": Role(trainable=True)}, Lora(rank=3), seed=0).own("student")
    assert count_adapted(_shapes(tmp_path), Lora(rank=3)) == sum(weight.numel() for weight in adapter.parameters())


def test_an_adapter_takes_its_own_states_and_the_base_once(recipe):
    planned = recipe("training.lora.rank=2")
    network = read_network(planned)
    assert 0 < network.trained < network.transformer / 4
    parts = estimate_memory(planned, network)
    assert parts["frozen transformer"] == network.transformer * 4
    assert parts["trained weights, gradients and optimiser"] == network.trained * 16
    assert "frozen transformer" not in estimate_memory(recipe(), read_network(recipe()))


@pytest.fixture
def shown(recipe, tmp_path):
    """A function that plans the recipe in a workspace; returns the text that a person sees."""

    def show() -> str:
        console = Console(width=160)
        with console.capture() as captured:
            console.print(plan(recipe(), tmp_path))
        return captured.get()

    return show


def test_the_plan_says_what_is_reused(recipe, shown, tmp_path, monkeypatch):
    assert "unchanged, will be reused" not in shown()
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(tmp_path))
    key = step_keys(recipe())["generate_trajectories"]
    run_step("generate_trajectories", f"{key}-0-3", lambda folder, progress: (folder / "store").touch(), {})
    row = next(line for line in shown().splitlines() if line.strip().startswith("generate_trajectories"))
    assert key[:8] in row
    assert "unchanged, will be reused" in row
    assert "terminal_sigma: 0.25" in shown()
    assert "decoder and rewards" in shown()


def test_the_plan_of_a_new_reward_says_that_what_is_drawn_is_scored(recipe, shown, tmp_path):
    anew = estimate_seconds(recipe(), read_network(recipe()), 1e9)["generate_trajectories"]
    assert estimate_scoring(recipe(), read_network(recipe()), 1e9) < anew
    assert "to score what is drawn" not in shown()
    drawn = tmp_path / "cache" / "teacher_latents" / step_keys(recipe())["teacher_latents"]
    for shard in range(4):
        write_note(drawn, FileEntry(shard_file(shard), "0" * 64, 4))
    assert "to score what is drawn" in shown()
    (drawn / note_file(shard_file(2))).unlink()
    assert "to score what is drawn" not in shown()
