"""Shards that several tasks draw make the very store that one task draws."""

from pathlib import Path

import pytest

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.trajectories.generate import draw_shards, generate
from rats_train.trajectories.join import join
from rats_train.trajectories.reader import TrajectoryStore
from rats_train.trajectories.shards import deal_shards, read_span


def store_files(store: Path) -> dict[str, bytes]:
    names = ("manifest.json", "index.parquet", *(f"shard-{shard:05d}.safetensors" for shard in range(3)))
    return {name: (store / name).read_bytes() for name in names}


@pytest.mark.parametrize(
    ("count", "tasks", "spans"),
    [(10, 1, ["0-2"]), (10, 2, ["0-0", "1-2"]), (10, 9, ["0-0", "1-1", "2-2"]), (40, 4, ["0-1", "2-4", "5-6", "7-9"])],
)
def test_every_shard_is_dealt_once(recipe: Recipe, count: int, tasks: int, spans: list[str]) -> None:
    wanted = recipe.trajectories.model_copy(update={"count": count})
    dealt = deal_shards(recipe.model_copy(update={"trajectories": wanted}), tasks)
    assert dealt == spans
    assert [shard for span in dealt for shard in read_span(span)] == list(range(-(-count // 4)))


def test_a_teacher_that_is_rolled_out_in_training_is_dealt_no_shard(recipe: Recipe, tmp_path: Path) -> None:
    online = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"source": "ema"})})
    assert deal_shards(online, 3) == ["none"]
    assert list(read_span("none")) == []
    store = generate(online, tmp_path)
    assert len(TrajectoryStore(store)) == 0
    assert not list(store.glob("shard-*"))


def test_parts_drawn_apart_and_given_in_any_order_make_the_same_store(recipe: Recipe, tmp_path: Path) -> None:
    whole = generate(recipe, tmp_path / "whole")
    first, second = tmp_path / "first", tmp_path / "second"
    draw_shards(recipe, first, [0])
    draw_shards(recipe, second, [1, 2])
    joined = join(recipe, [second, first], tmp_path / "joined")
    assert store_files(joined) == store_files(whole)
    assert len(TrajectoryStore(joined)) == 10
    assert store_files(join(recipe, [second, first], joined)) == store_files(whole)

    with pytest.raises(UserError, match=r"Shard 0 is in none of .*second: run generate_trajectories again"):
        join(recipe, [second], tmp_path / "torn")
    other = recipe.model_copy(update={"seed": 7})
    draw_shards(other, tmp_path / "other", [])
    with pytest.raises(UserError, match="are not shards of one recipe's trajectories"):
        join(recipe, [first, tmp_path / "other"], tmp_path / "mixed")


def test_shards_that_are_there_are_not_drawn_again(recipe: Recipe, tmp_path: Path) -> None:
    drawn: list[int] = []
    for _ in range(2):
        draw_shards(recipe, tmp_path, [1], lambda done, total, reward: drawn.append(done))
    assert drawn == [3, 4]
    (tmp_path / "shard-00001.json").unlink()
    draw_shards(recipe, tmp_path, [1], lambda done, total, reward: drawn.append(done))
    assert drawn == [3, 4, 3, 4]
    with pytest.raises(UserError, match="There is no shard 3: the trajectories of tiny have 3"):
        draw_shards(recipe, tmp_path, [3])


def test_nonsense_is_one_line(recipe: Recipe) -> None:
    with pytest.raises(UserError, match="0 tasks cannot draw trajectories"):
        deal_shards(recipe, 0)
    with pytest.raises(UserError, match=r"'4' names no shards: .* such as 4-7"):
        read_span("4")


@pytest.mark.parametrize("damage", ['{"file": 1}', "{"])
def test_a_damaged_note_is_one_line(recipe: Recipe, tmp_path: Path, damage: str) -> None:
    (tmp_path / "shard-00001.json").write_text(damage)
    with pytest.raises(UserError, match=r"shard-00001\.json"):
        draw_shards(recipe, tmp_path, [1])
