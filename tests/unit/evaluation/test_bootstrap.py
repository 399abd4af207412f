import numpy as np
import pytest

from rats_train.evaluation.bootstrap import bootstrap_mean, paired_bootstrap


def simulate(rng, prompts=40, per_prompt=4, effect=0.3):
    """Paired values whose difference varies by prompt: images of a prompt are far from independent."""
    clusters = np.arange(prompts).repeat(per_prompt)
    theirs = rng.normal(0, 1, prompts).repeat(per_prompt) + rng.normal(0, 0.2, len(clusters))
    shift = effect + rng.normal(0, 0.5, prompts)
    return theirs + shift.repeat(per_prompt) + rng.normal(0, 0.2, len(clusters)), theirs, clusters


def coverage(clusters_of, trials=300):
    rng, covered = np.random.default_rng(7), 0
    for trial in range(trials):
        ours, theirs, clusters = simulate(rng)
        found = paired_bootstrap(ours, theirs, clusters_of(clusters), samples=400, seed=trial)
        covered += found.low <= 0.3 <= found.high
    return covered / trials


def test_interval_covers_the_truth_as_often_as_it_says():
    assert 0.90 <= coverage(lambda clusters: clusters) <= 0.98


def test_resampling_images_instead_of_prompts_would_promise_too_much():
    assert coverage(lambda clusters: np.arange(len(clusters))) < 0.80


def test_pairing_narrows_the_interval():
    ours, theirs, clusters = simulate(np.random.default_rng(3))
    paired = paired_bootstrap(ours, theirs, clusters, samples=1000, seed=0)
    alone = bootstrap_mean(ours, clusters, samples=1000, seed=0)
    assert paired.high - paired.low < 0.7 * (alone.high - alone.low)


def test_swapping_the_sides_mirrors_the_interval():
    ours, theirs, clusters = simulate(np.random.default_rng(0))
    one = paired_bootstrap(ours, theirs, clusters, samples=999, seed=5)
    other = paired_bootstrap(theirs, ours, clusters, samples=999, seed=5)
    assert other.value == -one.value
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-12)


def test_same_seed_same_interval_and_another_seed_another():
    ours, theirs, clusters = simulate(np.random.default_rng(0))
    runs = [paired_bootstrap(ours, theirs, clusters, samples=500, seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_order_and_labels_of_prompts_do_not_matter_to_the_estimate():
    ours, theirs, clusters = simulate(np.random.default_rng(0))
    shuffled = np.random.default_rng(1).permutation(len(ours))
    one = paired_bootstrap(ours, theirs, clusters, samples=500, seed=1)
    other = paired_bootstrap(ours[shuffled], theirs[shuffled], clusters[shuffled], samples=500, seed=1)
    assert other.value == pytest.approx(one.value)
    assert (other.low, other.high) == pytest.approx((one.low, one.high))


def test_unequal_prompts_weigh_by_their_images():
    values, clusters = np.array([1.0, 1.0, 1.0, 5.0]), np.array([0, 0, 0, 1])
    assert bootstrap_mean(values, clusters, samples=200, seed=0).value == 2.0
    even = bootstrap_mean(np.ones(4), clusters, samples=200, seed=0)
    assert (even.low, even.high) == (1.0, 1.0)


@pytest.mark.parametrize(("ours", "theirs"), [([1.0, 2.0], [1.0]), ([], [])])
def test_sides_that_cannot_be_paired_are_refused(ours, theirs):
    with pytest.raises(ValueError, match=r"pair|as many clusters"):
        paired_bootstrap(np.array(ours), np.array(theirs), np.arange(len(ours)), samples=10, seed=0)
