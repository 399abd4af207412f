"""Bradley-Terry for two with ties: against the likelihood itself, and against what chance alone does."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from rats_train.evaluation.preference import bradley_terry, elo, wilson


def test_the_share_is_where_the_likelihood_is_highest():
    won, lost, tied = 11, 4, 6

    def cost(lead):
        share = 1 / (1 + np.exp(-lead))
        return -(won + tied / 2) * np.log(share) - (lost + tied / 2) * np.log(1 - share)

    lead = minimize_scalar(cost, bounds=(-5, 5), method="bounded").x
    points = [1.0] * won + [0.0] * lost + [0.5] * tied
    share, _, prompts = bradley_terry(points, range(len(points)))
    assert np.log(share / (1 - share)) == pytest.approx(lead, abs=1e-4)
    assert elo(share) == pytest.approx(400 / np.log(10) * lead, abs=0.05)
    assert prompts == 21


@pytest.mark.parametrize(("won", "count"), [(0, 5), (3, 7), (50, 60), (12, 12)])
def test_the_interval_is_wilsons(won, count):
    known = binomtest(won, count).proportion_ci(method="wilson")
    assert wilson(won / count, count) == pytest.approx((known.low, known.high), abs=1e-12)


def test_the_other_side_sees_the_mirror_image():
    points, prompts = [1.0, 0.5, 1.0, 0.0, 1.0], [0, 0, 1, 2, 3]
    share, (low, high), _ = bradley_terry(points, prompts)
    other, (other_low, other_high), _ = bradley_terry([1 - point for point in points], prompts)
    assert (other, other_low, other_high) == pytest.approx((1 - share, 1 - high, 1 - low))
    assert elo(other) == pytest.approx(-elo(share))


def test_a_prompt_counts_once_however_many_vote_on_it():
    share, ci95, prompts = bradley_terry([1.0, 1.0, 1.0, 1.0, 0.0], [7, 7, 7, 7, 9])
    assert (share, prompts) == (0.5, 2)
    assert ci95 == wilson(0.5, 2)


def test_votes_that_all_agree_do_not_prove_everything():
    share, (low, high), _ = bradley_terry([1.0] * 6, range(6))
    assert (share, elo(share), elo(high)) == (1.0, None, None)
    assert 0.5 < low < 0.65


def test_without_votes_there_is_nothing_to_say():
    with pytest.raises(ValueError, match="need votes"):
        bradley_terry([], [])
    with pytest.raises(ValueError, match="need votes"):
        bradley_terry([1.0], [0, 1])


@pytest.mark.parametrize(("truth", "ties", "voters"), [(0.5, 0.0, 1), (0.5, 0.4, 3), (0.7, 0.2, 3), (0.9, 0.0, 1)])
def test_the_interval_holds_the_truth_95_times_in_100(truth, ties, voters):
    """30 prompts that people more or less agree on, by a taste of each prompt's own that all its voters share."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        taste = rng.random(30) < truth
        shared = rng.random((30, voters)) < 0.6
        wins = np.where(shared, taste[:, None], rng.random((30, voters)) < truth).astype(float)
        wins[rng.random((30, voters)) < ties] = 0.5
        expected = (1 - ties) * truth + ties / 2
        _, (low, high), _ = bradley_terry(wins.ravel().tolist(), np.arange(30).repeat(voters).tolist())
        covered += low <= expected <= high
    assert covered >= 935  # 950 less two standard errors of 1000 draws
