"""On the CPU no evaluation depends on its company, in any family; and where one would, that is found out."""

import pytest
import torch

from rats_train.models.load import load_model
from rats_train.resolution import Resolution
from rats_train.sampling.noise import initial_noise
from serving.drawing.invariance import changes_no_bit, isolate_rows
from serving.drawing.velocity import Rows, in_chunks, velocity_of
from tests.tiny_pipelines import tiny_flux, tiny_sd3, tiny_wan

COUNT = 8
FAMILIES = {
    "sd3": (tiny_sd3, Resolution(height=64, width=64)),
    "flux": (tiny_flux, Resolution(height=64, width=48)),
    "wan": (tiny_wan, Resolution(height=32, width=48, frames=5)),
}


@pytest.fixture(params=FAMILIES)
def model(request, tmp_path):
    torch.manual_seed(0)
    pipeline, resolution = FAMILIES[request.param]
    pipeline().save_pretrained(tmp_path)
    return load_model(tmp_path, resolution)


def probe(model, seed):
    prompts = model.encode_prompts(["two owls", "a fox", "", "one cat"] * 2)
    sigma = torch.rand(COUNT, generator=torch.Generator().manual_seed(seed))
    noise = initial_noise(range(seed * COUNT, (seed + 1) * COUNT), model.latent_shape)
    return Rows(noise, sigma, prompts, torch.linspace(1, 5, COUNT))


@torch.inference_mode()
def test_rows_have_the_same_bits_in_any_batch_and_place(model):
    plain = [velocity_of(model, "")(probe(model, seed)) for seed in range(4)]
    isolate_rows(model.transformer, COUNT)
    evaluate = velocity_of(model, "")
    for seed, before in enumerate(plain):
        rows = probe(model, seed)
        assert changes_no_bit(evaluate, rows)
        shuffled = rows.select(torch.randperm(COUNT, generator=torch.Generator().manual_seed(seed)))
        assert torch.equal(evaluate(shuffled), in_chunks(evaluate, 1)(shuffled))
        torch.testing.assert_close(evaluate(rows), before, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_transformer_whose_rows_know_of_each_other_is_found_out(model):
    rows = probe(model, 0)
    assert not changes_no_bit(lambda given: given.latents + given.latents.mean(0), rows)
    assert changes_no_bit(lambda given: given.latents * 2, rows)
