import pytest

from rats_train.trajectories.order import epoch_order, rank_rows, step_rows


def test_an_epoch_holds_every_row_once_and_no_two_epochs_are_alike() -> None:
    first, second = epoch_order(0, 0, 50), epoch_order(0, 1, 50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert first == epoch_order(0, 0, 50)
    assert first != epoch_order(1, 0, 50)


def test_steps_walk_through_the_epochs_without_dropping_a_row() -> None:
    walked = [row for step in range(5) for row in step_rows(7, step, 4, 10)]
    assert walked == epoch_order(7, 0, 10) + epoch_order(7, 1, 10)


def test_a_batch_may_be_larger_than_an_epoch() -> None:
    assert step_rows(7, 0, 25, 10) == [*epoch_order(7, 0, 10), *epoch_order(7, 1, 10), *epoch_order(7, 2, 10)[:5]]


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_in_turn_give_the_same_batch_for_any_world_size(world_size: int) -> None:
    rows = step_rows(3, 5, 8, 30)
    assert [row for rank in range(world_size) for row in rank_rows(rows, rank, world_size)] == rows
