"""One padding token, counted often enough, is all of them: for SD3 and, with its norms and dual attention, SD3.5."""

import copy

import pytest
import torch
from diffusers import SD3Transformer2DModel
from torch.nn import functional as F

from rats_train.models.sd3_attention import PADDING, weigh_padding

SD35 = {"qk_norm": "rms_norm", "dual_attention_layers": (0,)}


def new_transformer(**more: object) -> SD3Transformer2DModel:
    torch.manual_seed(0)
    return SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=12,
        caption_projection_dim=16,
        pooled_projection_dim=10,
        pos_embed_max_size=8,
        **more,
    )


@pytest.mark.parametrize("config", [{}, SD35], ids=["sd3", "sd3.5"])
def test_output_and_gradients_are_those_of_all_the_padding(config: dict[str, object]) -> None:
    stock = new_transformer(**config)
    ours = copy.deepcopy(stock)
    weigh_padding(ours)
    latents, context, pooled = torch.randn(2, 4, 8, 8), torch.randn(2, 5, 12), torch.randn(2, 10)
    sigma = torch.tensor([900.0, 100.0])
    padded = F.pad(context, (0, 0, 0, PADDING))
    expected = stock(latents, padded, pooled, sigma, return_dict=False)[0]
    velocity = ours(latents, F.pad(context, (0, 0, 0, 1)), pooled, sigma, return_dict=False)[0]
    torch.testing.assert_close(velocity, expected)
    for output in (velocity, expected):
        output.square().mean().backward()
    for (name, weight), theirs in zip(ours.named_parameters(), stock.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, theirs.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_under_bfloat16_autocast_only_rounding_grows() -> None:
    model = new_transformer()
    weigh_padding(model)
    inputs = torch.randn(2, 4, 8, 8), torch.randn(2, 6, 12), torch.randn(2, 10), torch.tensor([900.0, 100.0])
    exact = model(*inputs, return_dict=False)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(*inputs, return_dict=False)[0]
    assert 0 < (rough - exact).abs().max() < 0.05 * exact.abs().max()
