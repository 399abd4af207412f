"""The loop: where it ends, what it keeps, where its gradient goes, and guidance around it."""

import pytest
import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn

from rats_train.models.base import PromptEmbeds
from rats_train.models.schedule import Schedule
from rats_train.sampling.guidance import conditioned
from rats_train.sampling.noise import initial_noise
from rats_train.sampling.rollout import rollout

SIGMAS = Schedule().ending_at(0.25).sigmas(5)


class Field(nn.Module):
    """A small trainable velocity that counts its evaluations."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 4)
        self.calls = 0

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.calls += 1
        return torch.tanh(self.linear(x)) * (1 + sigma[:, None])


def gradient(backprop_steps: int | None, checkpoint: bool = False) -> tuple[Tensor, int]:
    field = Field()
    noise = torch.ones(2, 4)
    rollout(field, noise, SIGMAS, backprop_steps=backprop_steps, checkpoint=checkpoint).final.square().sum().backward()
    return field.linear.weight.grad, field.calls


def test_a_straight_path_ends_at_x0_however_few_the_steps() -> None:
    x0, noise = torch.randn(3, 4), torch.randn(3, 4)
    path = rollout(lambda x, sigma: noise - x0, noise, SIGMAS)
    torch.testing.assert_close(path.final, x0)
    assert sorted(path.x0) == [0, 1, 2, 3, 4]
    for prediction in path.x0.values():
        torch.testing.assert_close(prediction, x0)


def test_the_last_prediction_is_the_final_latent() -> None:
    path = rollout(Field(), torch.randn(2, 4), SIGMAS)
    torch.testing.assert_close(path.x0[4], path.final)


@pytest.mark.parametrize(("keep", "kept"), [((), []), ([1, 3], [1, 3]), (None, [0, 1, 2, 3, 4])])
def test_keeps_the_predictions_asked_for(keep: list[int] | None, kept: list[int]) -> None:
    assert sorted(rollout(Field(), torch.randn(2, 4), SIGMAS, keep_x0=keep).x0) == kept


def test_reports_every_step() -> None:
    seen = []
    path = rollout(Field(), torch.randn(2, 4), SIGMAS, on_step=lambda k, x: seen.append((k, x)))
    assert [k for k, _ in seen] == [0, 1, 2, 3, 4]
    assert seen[-1][1] is path.final


def test_checkpointing_gives_the_same_gradient_for_a_second_evaluation() -> None:
    plain, calls = gradient(None)
    recomputed, recomputed_calls = gradient(None, checkpoint=True)
    assert torch.equal(plain, recomputed)
    assert (calls, recomputed_calls) == (5, 10)


def test_truncation_lets_gradient_through_the_last_steps_only() -> None:
    field = Field()
    start = torch.ones(2, 4, requires_grad=True)
    path = rollout(field, start, SIGMAS, backprop_steps=2)
    assert [path.x0[k].requires_grad for k in range(5)] == [False, False, False, True, True]
    full, _ = gradient(None)
    assert not torch.allclose(gradient(2)[0], full)
    assert torch.equal(gradient(5)[0], full)


def test_noise_has_the_bits_of_diffusers_generators_and_depends_on_the_seed_alone() -> None:
    seeds, shape = [7, 1, 2**31 - 1], (4, 16, 16)
    stock = randn_tensor((3, *shape), generator=[torch.Generator().manual_seed(seed) for seed in seeds])
    assert torch.equal(initial_noise(seeds, shape), stock)
    assert torch.equal(initial_noise(seeds[::-1], shape), stock.flip(0))


def embeds(value: float) -> PromptEmbeds:
    return PromptEmbeds(torch.full((2, 3, 4), value), torch.full((2, 4), value))


class Linear:
    """Velocity 5 for a prompt, 2 for none, times sigma; told a guidance scale, that many times as much."""

    def __init__(self, takes_guidance: bool) -> None:
        self.takes_guidance, self.sizes = takes_guidance, []

    def encode_prompts(self, prompts: list[str]) -> PromptEmbeds:
        return PromptEmbeds(torch.cat([torch.full((1, 1, 4), 5.0 if prompt else 2.0) for prompt in prompts]))

    def velocity(self, x: Tensor, sigma: Tensor, at: PromptEmbeds, _: object, guidance_scale: float = 1.0) -> Tensor:
        self.sizes.append(len(x))
        assert len(x) == len(sigma) == len(at)
        return at.context[:, 0] * sigma[:, None] * guidance_scale


@pytest.mark.parametrize(
    ("takes_guidance", "scale", "expected", "rows"),
    [(False, 1.0, 5.0, 2), (False, 3.0, 2.0 + 3.0 * (5.0 - 2.0), 4), (True, 3.0, 15.0, 2), (True, 1.0, 5.0, 2)],
)
def test_guidance_extrapolates_unless_the_network_is_told_and_then_costs_one_evaluation(
    takes_guidance: bool, scale: float, expected: float, rows: int
) -> None:
    model = Linear(takes_guidance)
    v = conditioned(model, model.encode_prompts(["a fox", "an owl"]), scale)(torch.zeros(2, 4), torch.ones(2))
    assert torch.equal(v, torch.full((2, 4), expected))
    assert model.sizes == [rows]


def test_embeds_select_concat_and_repeat_rows() -> None:
    both = embeds(1.0).concat(embeds(2.0))
    assert both.pooled[:, 0].tolist() == [1, 1, 2, 2]
    assert both.select([3, 0]).context[:, 0, 0].tolist() == [2, 1]
    assert both.select(slice(1, 3)).repeat(2).pooled[:, 0].tolist() == [1, 1, 2, 2]
    assert len(both.repeat(3)) == 12
