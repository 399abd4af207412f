"""Phases of a training step: which one failed, and how long each took."""

import time

import pytest

from rats_train.phases import failed_phase, phase, timed_phases


def test_the_phase_that_an_error_came_out_of_is_remembered_until_another_succeeds() -> None:
    with pytest.raises(MemoryError), phase("decode"):
        raise MemoryError
    assert failed_phase() == "decode"
    with phase("reward"):
        pass
    assert failed_phase() is None


def test_seconds_add_up_by_phase_while_they_are_asked_for() -> None:
    with timed_phases() as seconds:
        for _ in range(2):
            with phase("student"):
                time.sleep(0.02)
        with phase("backward"):
            pass
    with phase("student"):
        time.sleep(0.02)
    assert list(seconds) == ["student", "backward"]
    assert 0.04 <= seconds["student"] < 0.06 + seconds["backward"]
