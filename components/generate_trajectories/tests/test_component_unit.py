import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from kfp import dsl

from components.generate_trajectories.component import generate_trajectories
from components.shared.keys import LATENTS
from components.shared.workspace import WORKSPACE_VARIABLE, step_dir
from rats_train.config import load_recipe
from rats_train.files import read_json, sha256_tree
from rats_train.trajectories.join import join
from rats_train.trajectories.reader import TrajectoryStore


def run(resolved, output, shards="0-1", key="k1"):
    store, summary = output(dsl.Dataset, "store"), output(dsl.Markdown, "summary")
    metrics = output(dsl.Metrics, "metrics")
    generate_trajectories.python_func(key, "drawn", shards, resolved, store, summary, metrics)
    return store, summary, metrics


def test_it_draws_its_shards_once_and_mends_them_when_a_byte_changes(resolved, output, workspace, tmp_path):
    store, summary, metrics = run(resolved, output)
    recipe = load_recipe(resolved.path)
    assert len(TrajectoryStore(join(recipe, [store.path], tmp_path / "joined"))) == 4
    assert "# 4 rollouts of 4 steps" in Path(summary.path).read_text()
    assert set(metrics.metadata) == {"reward_a"}
    progress = json.loads((step_dir("generate_trajectories", "k1-0-1") / "progress.json").read_text())
    assert (progress["step"], progress["steps"]) == (4, 4)
    # Two sums of the same rewards, in two orders.
    assert progress["reward_teacher"] == pytest.approx(metrics.metadata["reward_a"], rel=1e-6)

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
    drawn = step_dir(LATENTS, "drawn") / "shard-00001.safetensors"
    before = drawn.stat().st_mtime_ns
    store, summary, _ = run(resolved, output, "1-1")
    assert drawn.stat().st_mtime_ns == before
    assert sorted(path.name for path in Path(store.path).glob("shard-*")) == [
        "shard-00001.json",
        "shard-00001.safetensors",
    ]
    assert "# 2 rollouts of 4 steps" in Path(summary.path).read_text()


def test_other_rewards_score_what_is_drawn(resolved, output, tmp_path):
    run(resolved, output)
    drawn = {path: path.stat().st_mtime_ns for path in step_dir(LATENTS, "drawn").glob("shard-*")}
    recipe = load_recipe(resolved.path)
    values = recipe.model_dump(mode="json")
    values["rewards"]["train"][0] |= {"name": "scaled", "statistics": {"mean": 0.5, "std": 2.0}}
    Path(resolved.path).write_text(yaml.safe_dump(values))
    store, _, metrics = run(resolved, output, key="k2")
    assert {path: path.stat().st_mtime_ns for path in step_dir(LATENTS, "drawn").glob("shard-*")} == drawn
    assert set(metrics.metadata) == {"reward_scaled"}
    joined = TrajectoryStore(join(load_recipe(resolved.path), [store.path], tmp_path / "joined"))
    assert list(joined.batch([0]).rewards) == ["scaled"]


def test_for_a_teacher_that_learns_with_its_student_it_stores_nothing(resolved, output, tmp_path):
    values = load_recipe(resolved.path).model_dump(mode="json")
    values["teacher"]["source"] = "ema"
    Path(resolved.path).write_text(yaml.safe_dump(values))
    store, summary, metrics = run(resolved, output, "none")
    assert len(TrajectoryStore(join(load_recipe(resolved.path), [store.path], tmp_path / "joined"))) == 0
    assert not list(step_dir(LATENTS, "drawn").glob("shard-*"))
    assert "No rollouts: teacher.source is ema" in Path(summary.path).read_text()
    assert metrics.metadata == {}


PROGRAM = """
import sys
from kfp import dsl
from components.generate_trajectories.component import generate_trajectories

recipe, shards, out = sys.argv[1:]
made = [dsl.Dataset(uri=f"{out}/store"), dsl.Markdown(uri=f"{out}/summary"), dsl.Metrics(uri=f"{out}/metrics")]
generate_trajectories.python_func("k1", "drawn", shards, dsl.Artifact(uri=recipe), *made)
"""


@pytest.mark.slow
def test_killed_retried_and_run_twice_at_once_it_leaves_the_store_of_an_undisturbed_run(
    resolved, output, tmp_path, monkeypatch
):
    whole, _, _ = run(resolved, output)
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(tmp_path / "disturbed"))

    def begin(out, shards):
        return subprocess.Popen([sys.executable, "-c", PROGRAM, resolved.path, shards, str(tmp_path / out)])

    killed = begin("killed", "0-1")
    while not (step_dir(LATENTS, "drawn") / "shard-00000.json").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert not (tmp_path / "killed" / "store").exists()

    at_once = [begin("first", "0-1"), begin("second", "0-1"), begin("other", "1-1")]
    assert [process.wait() for process in at_once] == [0, 0, 0]
    for name in ("first", "second"):
        assert sha256_tree(tmp_path / name / "store") == sha256_tree(whole.path)
    overlapping = tmp_path / "other" / "store" / "shard-00001.safetensors"
    assert overlapping.read_bytes() == (Path(whole.path) / overlapping.name).read_bytes()
