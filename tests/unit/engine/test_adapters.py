"""Roles as adapters on one base: alike at first, apart in their gradients, and out again as stock files."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from rats_train.config import Lora
from rats_train.engine.adapters import Adapters
from rats_train.errors import UserError
from rats_train.methods.base import Role
from rats_train.models.base import FlowModel, PromptEmbeds
from rats_train.models.load import load_model
from rats_train.resolution import Resolution
from rats_train.sampling.draw import draw
from rats_train.sampling.rollout import rollout
from tests.tiny_pipelines import tiny_flux, tiny_sd3, tiny_wan

ROLES = {
    "student": Role(trainable=True),
    "fake": Role(trainable=True),
    "teacher": Role(average_of="student", decay=0.5),
    "reference": Role(),
}
PROMPTS, SEEDS = ["two owls", "a fox"], [3, 1]


@dataclass(frozen=True)
class Case:
    """A tiny model of a family, its folder, its transformer before adapters came, and the adapters on it."""

    path: Path
    model: FlowModel
    before: torch.nn.Module
    adapters: Adapters
    embeds: PromptEmbeds
    latents: Tensor

    def velocity(self, role: str | torch.nn.Module) -> Tensor:
        transformer = self.adapters.transformer(role) if isinstance(role, str) else role
        return self.model.velocity(self.latents, torch.tensor([0.9, 0.5]), self.embeds, transformer, 2.0)


def make_case(family: str, path: Path, lora: Lora) -> Case:
    torch.manual_seed(0)
    make = {"sd3": lambda: tiny_sd3(t5=True, shift=3.0), "flux": tiny_flux, "wan": tiny_wan}[family]
    make().save_pretrained(path)
    wan = Resolution(height=32, width=48, frames=5)
    model = load_model(path, wan if family == "wan" else Resolution(height=64, width=64))
    before = copy.deepcopy(model.transformer)
    adapters = Adapters(model.transformer, ROLES, lora, seed=0)
    return Case(path, model, before, adapters, model.encode_prompts(PROMPTS), torch.randn(2, *model.latent_shape))


@pytest.fixture(params=["sd3", "flux", "wan"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return make_case(request.param, tmp_path / "teacher", Lora(rank=4, alpha=6))


def move(case: Case, role: str, by: float = 0.1) -> None:
    with torch.no_grad():
        for weight in case.adapters.own(role).parameters():
            weight.add_(torch.randn_like(weight), alpha=by)


def test_all_roles_begin_as_the_base_to_the_bit(case: Case) -> None:
    expected = case.velocity(case.before)
    for role in ROLES:
        assert torch.equal(case.velocity(role), expected), role
    factors = [dict(case.adapters.own(role).named_parameters()) for role in ("student", "fake", "teacher")]
    assert all(torch.equal(factors[0][name], other[name]) for other in factors for name in other)
    assert not list(case.adapters.own("reference").parameters())


def test_each_role_computes_with_its_own_adapter_and_the_reference_with_none(case: Case) -> None:
    base = case.velocity(case.before)
    move(case, "student")
    student = case.velocity("student")
    assert (student - base).abs().max() > 1e-3
    move(case, "teacher")
    assert not torch.equal(case.velocity("teacher"), student)
    assert torch.equal(case.velocity("reference"), base)
    assert torch.equal(case.velocity("fake"), base)
    assert torch.equal(case.velocity("student"), student)


def gradients(case: Case, role: str) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in case.adapters.own(role).named_parameters()}


def chain(case: Case, transformer: torch.nn.Module, checkpoint: bool = False) -> Tensor:
    """Latents after three steps of a role."""

    def velocity(x: Tensor, sigma: Tensor) -> Tensor:
        return case.model.velocity(x, sigma, case.embeds, transformer, 2.0)

    return rollout(velocity, case.latents, torch.tensor([1.0, 0.6, 0.3, 0.0]), checkpoint=checkpoint).final


@pytest.mark.parametrize("recompute", ["none", "step", "block", "both"])
def test_gradients_are_those_of_the_merged_weights_though_other_roles_compute_before_the_way_back(
    case: Case, recompute: str
) -> None:
    checkpoint = recompute in ("step", "both")
    if recompute in ("block", "both"):
        case.adapters.recompute_blocks()
        case.model.transformer.train()
    for role in ("student", "fake", "teacher"):
        move(case, role)
    merged = copy.deepcopy(case.before).requires_grad_(True)
    merged.load_state_dict(case.adapters.stock(case.adapters.own("student").state_dict()))
    chain(case, merged).square().mean().backward()
    result = chain(case, case.adapters.transformer("student"), checkpoint)
    other = chain(case, case.adapters.transformer("fake"), checkpoint)
    case.velocity("teacher")
    case.velocity("reference")
    result.square().mean().backward()
    assert all(gradient is None for gradient in gradients(case, "fake").values())
    other.mean().backward()
    assert all(weight.grad is None for weight in case.adapters.own("teacher").parameters())
    factors = case.adapters.own("student").state_dict()
    for name, gradient in gradients(case, "student").items():
        layer, factor = name.removesuffix(".weight").rsplit(".", 1)
        whole = merged.get_submodule(layer).weight.grad
        a, b = factors[f"{layer}.lora_A.weight"], factors[f"{layer}.lora_B.weight"]
        expected = 1.5 * (b.T @ whole if factor == "lora_A" else whole @ a.T)
        torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4, msg=lambda text, name=name: name + text)
    adapted = {id(weight) for role in ROLES for weight in case.adapters.own(role).parameters()}
    assert all(weight.grad is None for weight in case.model.transformer.parameters() if id(weight) not in adapted)


def test_a_student_leaves_as_a_stock_folder_and_as_an_adapter_for_the_teacher(case: Case, tmp_path: Path) -> None:
    move(case, "student")
    weights = case.adapters.own("student").state_dict()
    state, path = case.adapters.stock(weights), tmp_path / "student"
    assert list(state) == list(case.before.state_dict())
    case.model.save_student(
        path, state, terminal_sigma=0.25, steps=[3], guidance_scale=2.0, lora=case.adapters.lora(weights)
    )
    student = load_model(path)
    options: dict[str, Any] = {"sigmas": student.sigmas(3), "guidance_scale": 2.0, "batch_size": 2}
    trained = draw(case.model, PROMPTS, SEEDS, **options, transformer=case.adapters.transformer("student"))
    torch.testing.assert_close(draw(student, PROMPTS, SEEDS, **options), trained, atol=1e-4, rtol=0)
    untrained = draw(case.model, PROMPTS, SEEDS, **options, transformer=case.adapters.transformer("reference"))
    assert (untrained - trained).abs().max() > 0.05
    teacher = DiffusionPipeline.from_pretrained(case.path)
    teacher.load_lora_weights(path)
    lent = draw(case.model, PROMPTS, SEEDS, **options, transformer=teacher.transformer)
    torch.testing.assert_close(lent, trained, atol=1e-4, rtol=0)


def test_a_base_in_half_precision_keeps_averages_in_full(tmp_path: Path) -> None:
    torch.manual_seed(0)
    transformer = tiny_flux().transformer.bfloat16()
    adapters = Adapters(transformer, ROLES, Lora(rank=4), seed=0)
    assert {weight.dtype for weight in adapters.own("teacher").parameters()} == {torch.float32}
    assert next(adapters.transformer("teacher").parameters()).dtype == torch.bfloat16
    assert {weight.dtype for weight in adapters.stock(adapters.own("teacher").state_dict()).values()} == {
        torch.bfloat16
    }


def test_the_layers_are_those_named_and_by_default_those_of_attention_and_feed_forward(case: Case) -> None:
    adapted = {name.rsplit(".lora", 1)[0] for name in case.adapters.own("student").state_dict()}
    linear = {name for name, layer in case.before.named_modules() if isinstance(layer, torch.nn.Linear)}
    left_out = ("norm", "embed", "proj_out", "proj_mlp", "condition")
    assert adapted == {name for name in linear if not any(word in name for word in left_out)}


def test_targets_narrow_the_layers_and_one_that_matches_none_is_one_line(tmp_path: Path) -> None:
    narrow = make_case("sd3", tmp_path / "one", Lora(rank=2, targets=["attn.to_q"])).adapters.own("student")
    assert {name.rsplit(".lora", 1)[0] for name in narrow.state_dict()} == {
        f"transformer_blocks.{block}.attn.to_q" for block in (0, 1)
    }
    with pytest.raises(
        UserError, match=r"^training\.lora\.targets: no linear .* ends in to_z; write some of .*to_q.*$"
    ):
        make_case("sd3", tmp_path / "two", Lora(targets=["to_q", "to_z"]))
    with pytest.raises(UserError, match=r"^training\.lora\.targets is null, and .* has none of to_q, .* of only\.$"):
        Adapters(torch.nn.ModuleDict({"only": torch.nn.Linear(1, 1)}), ROLES, Lora(), seed=0)
