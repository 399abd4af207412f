"""Training adapters: what they begin as, what they leave alone, and the same however ZeRO cuts them up."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from rats_train.config import Recipe
from rats_train.engine import roles as engine_roles
from rats_train.engine.identity import identify
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import read_lines
from rats_train.engine.roles import SERVED, Roles
from rats_train.engine.train import train
from rats_train.engine.trainer import Trainer
from rats_train.errors import UserError
from rats_train.files import read_json
from rats_train.methods.base import STUDENT, Role
from rats_train.models.base import FlowModel
from rats_train.models.load import load_model
from tests.integration.conftest import changed, with_method
from tests.integration.test_resume import assert_same_run, stop_at

# The last block passes no context on: what it asks for the context moves nothing.
STILL = "transformer_blocks.1.attn.add_q_proj"
STAGES = [2, pytest.param(3, marks=pytest.mark.slow)]
ROLES = {
    STUDENT: Role(trainable=True),
    "teacher": Role(average_of=STUDENT, decay=0.5, every=2),
    "reference": Role(),
}


@pytest.fixture
def recipe(tiny_recipe: Recipe) -> Recipe:
    return changed(tiny_recipe, "training", lora={"rank": 4, "alpha": 6}, steps=4)


@pytest.fixture
def cut_up() -> Iterator[None]:
    """ZeRO-3 cuts up small parameters too: it would leave all those of the tiny models whole."""
    config = engine_roles._config

    def cutting(*arguments: Any) -> dict[str, Any]:
        found = config(*arguments)
        found["zero_optimization"]["stage3_param_persistence_threshold"] = 0
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_roles, "_config", cutting)
        yield


def make_roles(recipe: Recipe, ranks: Ranks, **training: object) -> tuple[FlowModel, Roles]:
    model = load_model(recipe.teacher.path)
    changed_training = changed(recipe, "training", **training).training
    return model, Roles(ROLES, model.transformer, changed_training, ranks, seed=0)


def velocity(model: FlowModel, transformer: torch.nn.Module | None) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(4, *model.latent_shape, generator=generator)
    embeds = model.encode_prompts(["two owls", "a fox", "one cat", "a tree"])
    return model.velocity(latents, torch.tensor([0.9, 0.7, 0.5, 0.2]), embeds, transformer)


def step(model: FlowModel, roles: Roles, number: int = 0) -> None:
    loss = velocity(model, roles.modules[STUDENT]).square().mean()
    for other in ("teacher", "reference"):
        with torch.no_grad():
            velocity(model, roles.modules[other])
    roles.learn({STUDENT: loss}, {STUDENT: 1e-2})
    roles.follow(number, {STUDENT})


@pytest.mark.parametrize("zero_stage", [0, 2, 3])
def test_every_role_begins_as_the_teacher_to_the_bit(
    recipe: Recipe, ranks: Ranks, cut_up: None, zero_stage: int
) -> None:
    expected = velocity(load_model(recipe.teacher.path), None)
    model, roles = make_roles(recipe, ranks, zero_stage=zero_stage)
    assert roles.modules.keys() == {*ROLES, SERVED}
    for name, module in roles.modules.items():
        assert torch.equal(velocity(model, module), expected), name


def test_steps_are_the_same_under_every_stage_of_zero(recipe: Recipe, ranks: Ranks, cut_up: None) -> None:
    moved = {}
    for stage in (0, 1, 2, 3):
        model, roles = make_roles(recipe, ranks, zero_stage=stage)
        for number in range(2):
            step(model, roles, number)
        moved[stage] = roles.weights(STUDENT)
        assert roles.weights("teacher").keys() == moved[stage].keys()
    for stage in (1, 2, 3):
        for name, weight in moved[0].items():
            torch.testing.assert_close(moved[stage][name], weight, atol=1e-6, rtol=0)
    still = [name for name, weight in moved[0].items() if ".lora_B." in name and weight.abs().max() < 5e-3]
    assert still == [f"{STILL}.lora_B.weight"]


@pytest.mark.parametrize("zero_stage", [2, 3])
def test_averages_follow_the_factors_in_closed_form(
    recipe: Recipe, ranks: Ranks, cut_up: None, zero_stage: int
) -> None:
    model, roles = make_roles(recipe, ranks, zero_stage=zero_stage, ema_decay=0.75)
    students = [roles.weights(STUDENT)]
    for number in range(4):
        step(model, roles, number)
        students.append(roles.weights(STUDENT))
    first, one, two, three, four = students
    teacher, served = roles.weights("teacher"), roles.weights(SERVED)
    for name in first:
        expected = 0.25 * first[name] + 0.25 * two[name] + 0.5 * four[name]
        torch.testing.assert_close(teacher[name], expected, atol=1e-6, rtol=0)
        tail = 0.25 * (0.75**3 * one[name] + 0.75**2 * two[name] + 0.75 * three[name] + four[name])
        torch.testing.assert_close(served[name], 0.75**4 * first[name] + tail, atol=1e-6, rtol=0)
    merged, base = roles.stock(teacher), load_model(recipe.teacher.path).transformer.state_dict()
    for name in {key.rsplit(".lora", 1)[0] for key in teacher}:
        product = teacher[f"{name}.lora_B.weight"] @ teacher[f"{name}.lora_A.weight"]
        torch.testing.assert_close(merged[f"{name}.weight"], base[f"{name}.weight"] + 1.5 * product)


@pytest.mark.parametrize("zero_stage", STAGES)
def test_only_adapters_learn_and_only_they_are_kept(
    recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path, cut_up: None, zero_stage: int
) -> None:
    recipe = changed(recipe, "training", steps=2)
    recipe = with_method(changed(recipe, "training", zero_stage=zero_stage), "grpo", group_size=2, kl_weight=0.1)
    trainer = Trainer(recipe, tiny_store, tmp_path, identify(recipe), ranks)
    trainer.run()
    teacher = load_model(recipe.teacher.path).transformer.state_dict()
    untouched = trainer._roles.stock({})
    assert list(untouched) == list(teacher)
    assert all(torch.equal(untouched[name], weight) for name, weight in teacher.items())
    newest = tmp_path / "checkpoints" / "step-000002"
    served = load_file(newest / f"{SERVED}.safetensors")
    assert all(".lora_" in name for name in served)
    factors = sum(weight.numel() for weight in served.values())
    assert trainer._roles.bytes_to_save() == 20 * factors
    for path in newest.rglob("*model_states.pt"):
        # DeepSpeed's own file, which this very test wrote: it holds more than tensors, and no other reader opens it.
        assert set(torch.load(path, weights_only=False)["module"]) <= {f"shown.{name}" for name in served}
    student = load_model(tmp_path / "student").transformer.state_dict()
    adapted = {f"{name.rsplit('.lora', 1)[0]}.weight" for name in served} - {f"{STILL}.weight"}
    for name, weight in teacher.items():
        assert torch.equal(student[name], weight) == (name not in adapted), name


@pytest.mark.parametrize("zero_stage", STAGES)
def test_a_torn_run_ends_bit_for_bit_as_a_whole_one(
    recipe: Recipe, ranks: Ranks, tmp_path: Path, cut_up: None, zero_stage: int
) -> None:
    recipe = changed(recipe, "teacher", source="ema", ema_decay=0.5, steps=4)
    recipe = changed(recipe, "training", zero_stage=zero_stage, steps=3, checkpoint_every=3)
    train(recipe, None, tmp_path / "whole", ranks)
    stop_at(1, recipe, None, tmp_path / "torn", ranks)
    train(recipe, None, tmp_path / "torn", ranks)
    assert_same_run(tmp_path / "torn", tmp_path / "whole")
    adapters = [load_file(tmp_path / run / "student" / "pytorch_lora_weights.safetensors") for run in ("torn", "whole")]
    assert all(torch.equal(weight, adapters[1][name]) for name, weight in adapters[0].items())
    assert all(line["grad_norm"] > 0 for line in read_lines(tmp_path / "whole" / "metrics.jsonl"))


@pytest.mark.parametrize("zero_stage", STAGES)
def test_recomputed_activations_train_alike_though_the_teacher_computes_between(
    recipe: Recipe, ranks: Ranks, tmp_path: Path, cut_up: None, zero_stage: int
) -> None:
    recipe = changed(recipe, "teacher", source="ema", ema_decay=0.5, steps=4)
    recipe = changed(recipe, "training", zero_stage=zero_stage, steps=2)
    context = Trainer._context
    for name, recompute in (("kept", False), ("recomputed", True)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                Trainer, "_context", lambda *arguments, on=recompute: replace(context(*arguments), recompute=on)
            )
            train(recipe, None, tmp_path / name, ranks)
    kept, recomputed = (read_lines(tmp_path / name / "metrics.jsonl") for name in ("kept", "recomputed"))
    for name in ("loss", "grad_norm"):
        assert [line[name] for line in recomputed] == pytest.approx([line[name] for line in kept], abs=1e-5)


def test_the_adapter_of_the_best_look_is_the_one_that_leaves(
    recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    judge = {"name": "judge", "path": recipe.rewards.train[0].path}
    recipe = changed(changed(recipe, "rewards", heldout=[judge]), "training", watch_every=1, steps=2)
    train(recipe, tiny_store, tmp_path, ranks)
    best = load_file(tmp_path / "best" / f"step-{read_json(tmp_path / 'result.json')['exported_step']:06d}.safetensors")
    left = load_file(tmp_path / "student" / "pytorch_lora_weights.safetensors")
    assert left.keys() == {f"transformer.{name}" for name in best}
    for name, weight in best.items():
        assert torch.equal(left[f"transformer.{name}"], weight * (1.5 if ".lora_B." in name else 1))
    merged = load_model(tmp_path / "student").transformer.state_dict()
    base = load_model(recipe.teacher.path).transformer.state_dict()
    name = "transformer_blocks.0.attn.to_q"
    product = best[f"{name}.lora_B.weight"] @ best[f"{name}.lora_A.weight"]
    torch.testing.assert_close(merged[f"{name}.weight"], base[f"{name}.weight"] + 1.5 * product)


@pytest.mark.slow
def test_adapters_train_in_half_precision_on_a_base_in_half_precision(
    recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        train(changed(recipe, "training", precision=precision), tiny_store, out, ranks)
        losses[precision] = [line["loss"] for line in read_lines(out / "metrics.jsonl")]
        served = load_file(out / "checkpoints" / "step-000004" / f"{SERVED}.safetensors")
        assert {weight.dtype for weight in served.values()} == {torch.float32}
    assert losses["bf16"] == pytest.approx(losses["fp32"], abs=5e-3)
    assert losses["bf16"] != losses["fp32"]


def test_a_target_that_matches_no_layer_is_one_line(
    recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    wrong = changed(recipe, "training", lora={"rank": 4, "targets": ["attn.to_query"]})
    with pytest.raises(
        UserError, match=r"^training\.lora\.targets: no linear .* ends in attn\.to_query; write [^\n]*$"
    ):
        train(wrong, tiny_store, tmp_path, ranks)
