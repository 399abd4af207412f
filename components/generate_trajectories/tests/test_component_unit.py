import json
from pathlib import Path

from kfp import dsl

from components.generate_trajectories.component import generate_trajectories
from components.shared.workspace import step_dir
from rats_train.config import load_recipe
from rats_train.files import read_json
from rats_train.trajectories.join import join
from rats_train.trajectories.reader import TrajectoryStore


def run(resolved, output, shards="0-1"):
    store, summary = output(dsl.Dataset, "store"), output(dsl.Markdown, "summary")
    metrics = output(dsl.Metrics, "metrics")
    generate_trajectories.python_func("k1", shards, resolved, store, summary, metrics)
    return store, summary, metrics


def test_it_draws_its_shards_once_and_mends_them_when_a_byte_changes(resolved, output, workspace, tmp_path):
    store, summary, metrics = run(resolved, output)
    recipe = load_recipe(resolved.path)
    assert len(TrajectoryStore(join(recipe, [store.path], tmp_path / "joined"))) == 4
    assert "# 4 rollouts of 4 steps" in Path(summary.path).read_text()
    assert set(metrics.metadata) == {"reward_a"}
    progress = json.loads((step_dir("generate_trajectories", "k1-0-1") / "progress.json").read_text())
    assert (progress["step"], progress["steps"]) == (4, 4)
    assert progress["reward_teacher"] == metrics.metadata["reward_a"]

    run(resolved, output)
    assert read_json(workspace / "steps" / "generate_trajectories.json")["cached"]

    shard = step_dir("generate_trajectories", "k1-0-1") / "store" / "shard-00001.safetensors"
    sound = shard.read_bytes()
    shard.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    run(resolved, output)
    assert not read_json(workspace / "steps" / "generate_trajectories.json")["cached"]
    assert shard.read_bytes() == sound


def test_shards_dealt_out_otherwise_are_not_drawn_again(resolved, output):
    run(resolved, output)
    drawn = step_dir("generate_trajectories", "k1") / "shard-00001.safetensors"
    before = drawn.stat().st_mtime_ns
    store, summary, _ = run(resolved, output, "1-1")
    assert drawn.stat().st_mtime_ns == before
    assert sorted(path.name for path in Path(store.path).glob("shard-*")) == [
        "shard-00001.json",
        "shard-00001.safetensors",
    ]
    assert "# 2 rollouts of 4 steps" in Path(summary.path).read_text()
