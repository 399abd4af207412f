"""A store is written whole or not at all, picked up where it stopped, and never read when a byte is wrong."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.models.load import load_model
from rats_train.models.schedule import Schedule
from rats_train.recipe_rewards import Statistics
from rats_train.rewards.build import combine, load_rewards
from rats_train.sampling.draw import draw
from rats_train.sampling.horizons import align_horizons
from rats_train.trajectories.generate import draw_shards, generate
from rats_train.trajectories.join import join
from rats_train.trajectories.manifest import trajectory_key
from rats_train.trajectories.prompts import PromptSource
from rats_train.trajectories.reader import TrajectoryStore
from rats_train.trajectories.rollouts import TeacherRollouts


def changed(recipe: Recipe, section: str, **values: object) -> Recipe:
    return recipe.model_copy(update={section: getattr(recipe, section).model_copy(update=values)})


@pytest.fixture
def store(recipe: Recipe, tmp_path: Path) -> Path:
    return generate(recipe, tmp_path / "store")


def test_rows_are_what_the_teacher_draws(recipe: Recipe, store: Path) -> None:
    batch = TrajectoryStore(store).batch([7, 2, 7])
    assert batch.prompts == ("a fox above a frog", "one cat", "a fox above a frog")
    model = load_model(recipe.teacher.path)
    images = draw(model, batch.prompts, batch.seeds, sigmas=Schedule().sigmas(10), guidance_scale=3.0, batch_size=3)
    # Half-precision latents are 1e-3 from the teacher's own.
    torch.testing.assert_close(model.decode(batch.final), images, atol=2e-2, rtol=0)
    reward = combine(load_rewards(recipe.rewards.train), images, batch.prompts)
    torch.testing.assert_close(batch.rewards["likeness"], reward)
    assert torch.equal(batch.x0[0], batch.x0[2])


def test_every_student_schedule_finds_its_aligned_teacher_steps(recipe: Recipe, store: Path) -> None:
    batch = TrajectoryStore(store).batch([0, 1])
    for steps in recipe.student.steps:
        indices = align_horizons(Schedule().ending_at(0.25).sigmas(steps), Schedule().sigmas(10)).tolist()
        assert batch.x0_at(indices).shape == (2, steps, 4, 16, 16)
    with pytest.raises(UserError, match="holds no teacher step 9"):
        batch.x0_at([0, 9])


def test_the_index_names_every_row(store: Path) -> None:
    table = pq.read_table(store / "index.parquet").to_pydict()
    assert table["row"] == list(range(10))
    assert (
        table["shard"]
        == ["shard-00000.safetensors"] * 4 + ["shard-00001.safetensors"] * 4 + ["shard-00002.safetensors"] * 2
    )
    batch = TrajectoryStore(store).batch(range(10))
    assert table["prompt"] == list(batch.prompts)
    assert table["seed"] == list(batch.seeds)
    assert table["reward_likeness"] == batch.rewards["likeness"].tolist()


def test_progress_reports_rows_and_mean_reward(recipe: Recipe, tmp_path: Path) -> None:
    seen: list[tuple[int, int, float]] = []
    path = generate(recipe, tmp_path / "store", lambda *progress: seen.append(progress))
    assert [(done, total) for done, total, _ in seen] == [(3, 10), (4, 10), (7, 10), (8, 10), (10, 10)]
    assert seen[-1][2] == pytest.approx(float(TrajectoryStore(path).batch(range(10)).rewards["likeness"].mean()))


def test_an_interrupted_store_keeps_its_shards_and_ends_the_same(recipe: Recipe, store: Path, tmp_path: Path) -> None:
    class PulledPlugError(Exception):
        pass

    def interrupt(done: int, total: int, reward: float) -> None:
        if done == 7:
            raise PulledPlugError

    torn = tmp_path / "torn"
    with pytest.raises(PulledPlugError):
        generate(recipe, torn, interrupt)
    with pytest.raises(UserError, match=r"torn is unfinished \(4 of 10 rows\)"):
        TrajectoryStore(torn)
    rows: list[int] = []
    generate(recipe, torn, lambda done, total, reward: rows.append(done))
    assert rows == [7, 8, 10]
    for name in ("manifest.json", "index.parquet", *(f"shard-{shard:05d}.safetensors" for shard in range(3))):
        assert (torn / name).read_bytes() == (store / name).read_bytes(), name
    assert sorted(path.name for path in torn.iterdir()) == sorted(path.name for path in store.iterdir())


def test_a_finished_store_is_not_drawn_again(recipe: Recipe, store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.iterdir()}
    generate(recipe, store)
    assert {path: path.stat().st_mtime_ns for path in store.iterdir()} == before


def test_a_flipped_byte_is_named_and_mended(recipe: Recipe, store: Path) -> None:
    shard = store / "shard-00001.safetensors"
    good = shard.read_bytes()
    shard.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(UserError, match=r"shard-00001\.safetensors is corrupt"):
        TrajectoryStore(store)
    generate(recipe, store)
    assert shard.read_bytes() == good
    assert len(TrajectoryStore(store)) == 10


def test_a_missing_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No trajectory store at .*nowhere"):
        TrajectoryStore(tmp_path / "nowhere")


@pytest.mark.parametrize("damage", ["[]", '{"version": 1}', '{"version": 99}', "{"])
def test_a_damaged_manifest_is_one_line(store: Path, damage: str) -> None:
    (store / "manifest.json").write_text(damage)
    with pytest.raises(UserError, match=r"manifest\.json"):
        TrajectoryStore(store)


def test_a_reward_that_is_not_a_number_is_named_with_its_prompt(recipe: Recipe, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(recipe.rewards.train[0].path, broken)
    weights = load_file(broken / "model.safetensors")
    weights["visual_projection.weight"].fill_(torch.nan)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    spec = recipe.rewards.train[0].model_copy(update={"path": str(broken)})
    with pytest.raises(UserError, match=r'^Reward likeness is nan for the prompt "two owls"[^\n]*$'):
        generate(changed(recipe, "rewards", train=[spec]), tmp_path / "store")


def test_another_recipe_does_not_overwrite(recipe: Recipe, store: Path) -> None:
    with pytest.raises(UserError, match="another recipe"):
        generate(changed(recipe, "teacher", guidance_scale=2.0), store)
    assert len(TrajectoryStore(store)) == 10


def test_another_reward_scores_what_is_drawn_and_draws_nothing(
    recipe: Recipe, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in store.glob("shard-*")}
    scale = Statistics(mean=0.2, std=0.1)
    other = changed(recipe, "rewards", train=[recipe.rewards.train[0].model_copy(update={"statistics": scale})])
    before = TrajectoryStore(store).batch(range(10))
    fresh = generate(other, tmp_path / "fresh")

    def refuse(*_: object) -> None:
        raise AssertionError("the teacher draws")

    monkeypatch.setattr(TeacherRollouts, "draw", refuse)
    seen: list[tuple[int, int]] = []
    generate(other, store, lambda done, total, reward: seen.append((done, total)))
    assert seen == [(3, 10), (4, 10), (7, 10), (8, 10), (10, 10)]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in store.glob("shard-*")} == shards
    for name in ("manifest.json", "index.parquet"):
        assert (store / name).read_bytes() == (fresh / name).read_bytes(), name
    after = TrajectoryStore(store).batch(range(10))
    assert torch.equal(after.final, before.final)
    torch.testing.assert_close(after.rewards["likeness"], (before.rewards["likeness"] - 0.2) / 0.1)
    with pytest.raises(AssertionError, match="the teacher draws"):
        generate(changed(recipe, "teacher", guidance_scale=2.0), tmp_path / "other teacher")

    generate(recipe, store, lambda *_: pytest.fail("scored again"))
    assert torch.equal(TrajectoryStore(store).batch(range(10)).rewards["likeness"], before.rewards["likeness"])


def test_damaged_scores_are_made_again_and_never_joined(recipe: Recipe, store: Path) -> None:
    (scores,) = store.glob("scores-*-00001.safetensors")
    good = scores.read_bytes()
    scores.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(UserError, match=r"scores-\w+-00001\.safetensors is corrupt"):
        join(recipe, [store], store)
    draw_shards(recipe, store, [1])
    assert scores.read_bytes() == good


def test_the_key_follows_what_is_drawn_and_nothing_else(recipe: Recipe, store: Path) -> None:
    key = trajectory_key(recipe)
    assert json.loads((store / "manifest.json").read_text())["key"] == key
    assert trajectory_key(changed(recipe, "training", steps=7)) == key
    assert trajectory_key(changed(recipe, "trajectories", batch_size=5)) == key
    others = [
        recipe.model_copy(update={"seed": 1}),
        changed(recipe, "teacher", steps=11),
        changed(recipe, "teacher", guidance_scale=2.0),
        changed(recipe, "student", steps=[2, 3, 5]),
        changed(recipe, "trajectories", count=11),
    ]
    assert len({trajectory_key(other) for other in others} | {key}) == 6
    shared = changed(recipe, "trajectories", seed=recipe.seed)
    assert trajectory_key(shared.model_copy(update={"seed": 1})) == trajectory_key(shared) == key
    assert PromptSource(shared.model_copy(update={"seed": 1})).batch([3]) == PromptSource(recipe).batch([3])


def test_the_key_follows_the_bytes_of_the_prompts(recipe: Recipe) -> None:
    key = trajectory_key(recipe)
    Path(recipe.trajectories.prompts).write_text("two owls\n")
    assert trajectory_key(recipe) != key


@pytest.mark.parametrize(
    ("content", "message"), [(None, r"no such file: .* packaged:pictures"), ("\n \n", "holds no prompt")]
)
def test_a_prompt_file_without_prompts_is_one_line(recipe: Recipe, content: str | None, message: str) -> None:
    path = Path(recipe.trajectories.prompts)
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=rf"trajectories\.prompts.*{message}"):
        trajectory_key(recipe)
