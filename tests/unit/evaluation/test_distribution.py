import pytest
import torch
import torch.nn.functional as F

from rats_train.evaluation.distribution import squared_mmd


def features(seed, prompts, shift=0.0, shared=None, per_prompt=2):
    """Unit vectors whose prompt is most of what they are; ``shared`` is the prompts' part, the same in both sets."""
    rng = torch.Generator().manual_seed(seed)
    own = torch.randn(prompts * per_prompt, 16, generator=rng)
    base = torch.zeros_like(own) if shared is None else shared.repeat_interleave(per_prompt, 0)
    return F.normalize(base + own + shift * torch.eye(16)[0], dim=1)


def prompts_part(seed, prompts):
    return 1.5 * torch.randn(prompts, 16, generator=torch.Generator().manual_seed(seed))


def test_equal_distributions_have_distance_zero_on_average_even_of_few_pictures_of_shared_prompts():
    found = []
    for trial in range(200):
        shared = prompts_part(trial, 12)
        found.append(squared_mmd(features(3 * trial + 1, 12, 0, shared), features(3 * trial + 2, 12, 0, shared), 2))
    values = torch.tensor([one.value for one in found])
    standard_error = float(values.std()) / len(values) ** 0.5
    assert abs(float(values.mean())) < 3 * standard_error
    assert (values < 0).any()


def test_the_standard_error_is_about_the_spread_over_repeats():
    found = []
    for trial in range(150):
        shared = prompts_part(trial, 40)
        found.append(squared_mmd(features(3 * trial + 1, 40, 1.5, shared), features(3 * trial + 2, 40, 0, shared), 2))
    spread = float(torch.tensor([one.value for one in found]).std())
    assert 0.7 * spread < sum(one.error for one in found) / len(found) < 1.4 * spread


def test_distance_grows_with_the_shift_and_is_symmetric_in_kind():
    shared = prompts_part(0, 60)
    theirs = features(1, 60, 0, shared)
    values = [squared_mmd(features(2, 60, shift, shared), theirs, 2).value for shift in (0.0, 1.0, 2.0, 4.0)]
    assert values == sorted(values)
    assert values[-1] > 10 * abs(values[0])


def test_a_collapse_to_one_picture_is_far_away():
    theirs = features(1, 60)
    one = theirs[:1].expand(120, -1)
    assert squared_mmd(one, theirs, 2).value > 0.3


def test_sets_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="at least three"):
        squared_mmd(features(0, 2), features(1, 2), 2)
    with pytest.raises(ValueError, match="same prompts"):
        squared_mmd(features(0, 4), features(1, 5), 2)
