"""Buckets with a stand-in for a CUDA graph: like one, it repeats a computation on tensors that stay where they are."""

import pytest
import torch

from rats_train.models.base import PromptEmbeds
from serving.drawing.buckets import Buckets, bucket_sizes
from serving.drawing.velocity import Rows

SIZES = bucket_sizes(6)


def rows(count, seed=0):
    random = torch.Generator().manual_seed(seed)
    context, pooled = torch.randn(count, 2, 5, generator=random), torch.randn(count, 3, generator=random)
    latents = torch.randn(count, 4, generator=random)
    return Rows(latents, torch.rand(count, generator=random), PromptEmbeds(context, pooled), torch.ones(count) * seed)


def evaluate(given):
    summary = given.prompts.context.sum((1, 2)) + given.prompts.pooled.sum(1) + given.sigma + given.guidance
    return given.latents + summary[:, None]


@pytest.fixture
def captured():
    return []


@pytest.fixture
def buckets(captured):
    def capture(compute):
        result = compute()
        captured.append(len(result))

        def replay():
            return result.copy_(compute())  # a graph writes to the tensor of its capture again and again

        return replay

    return Buckets(evaluate, SIZES, rows(1, seed=9), capture)


def test_sizes_are_powers_of_two_and_the_largest():
    assert SIZES == [1, 2, 4, 6]
    assert bucket_sizes(8) == [1, 2, 4, 8]
    assert bucket_sizes(1) == [1]


def test_every_size_is_captured_before_the_first_request(buckets, captured):
    assert sorted(captured) == SIZES
    for count in range(1, 7):
        buckets(rows(count))
    assert sorted(captured) == SIZES


@pytest.mark.parametrize("count", range(1, 7))
def test_padding_changes_no_row(buckets, count):
    given = rows(count, seed=count)
    torch.testing.assert_close(buckets(given), evaluate(given), rtol=0, atol=0)


def test_a_result_is_not_overwritten_by_the_next(buckets):
    first = buckets(rows(3, seed=1))
    kept = first.clone()
    buckets(rows(3, seed=2))
    torch.testing.assert_close(first, kept, rtol=0, atol=0)
