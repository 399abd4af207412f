"""The learning rate warms up and comes down."""

import pytest

from rats_train.learning_rate import learning_rate


def test_it_warms_up_and_comes_down() -> None:
    rates = [learning_rate(step, 1000, 2.0, warmup=100) for step in range(1000)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(2.0)
    assert rates[-1] == pytest.approx(0.02, abs=1e-3)
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_a_single_step_takes_the_peak() -> None:
    assert learning_rate(0, 1, 3.0, warmup=0) == 3.0
