import json
from pathlib import Path

from kfp import dsl

from components.generate_trajectories.component import generate_trajectories
from components.shared.workspace import step_dir
from rats_train.files import read_json
from rats_train.trajectories.reader import TrajectoryStore


def run(resolved, output):
    store, summary = output(dsl.Dataset, "store"), output(dsl.Markdown, "summary")
    metrics = output(dsl.Metrics, "metrics")
    generate_trajectories.python_func("k1", resolved, store, summary, metrics)
    return store, summary, metrics


def test_it_fills_a_store_once_and_mends_it_when_a_byte_changes(resolved, output, workspace):
    store, summary, metrics = run(resolved, output)
    assert len(TrajectoryStore(store.path)) == 4
    assert "# 4 rollouts of 4 steps" in Path(summary.path).read_text()
    assert set(metrics.metadata) == {"reward_a"}
    progress = json.loads((step_dir("generate_trajectories", "k1") / "progress.json").read_text())
    assert (progress["step"], progress["steps"]) == (4, 4)
    assert progress["reward_teacher"] == metrics.metadata["reward_a"]

    run(resolved, output)
    assert read_json(workspace / "steps" / "generate_trajectories.json")["cached"]

    shard = step_dir("generate_trajectories", "k1") / "store" / "shard-00001.safetensors"
    sound = shard.read_bytes()
    shard.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    run(resolved, output)
    assert not read_json(workspace / "steps" / "generate_trajectories.json")["cached"]
    assert shard.read_bytes() == sound
