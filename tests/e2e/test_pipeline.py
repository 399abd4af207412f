"""The pipeline for real, by KFP's local runner, on tiny random models: every step, every branch, twice, and killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipelines.runs import STEPS, read_run


@pytest.fixture(scope="module")
def recipe(tiny_pipeline_dir, tiny_reward_dir, tmp_path_factory):
    """A recipe that a random student can win: it is judged by the reward that it is trained on."""
    judge = {"path": str(tiny_reward_dir)}
    values = {
        "name": "tiny",
        "teacher": {"path": str(tiny_pipeline_dir), "steps": 4},
        "student": {"steps": [2, 3]},
        "rewards": {"train": [judge | {"name": "a"}], "heldout": [judge | {"name": "b"}]},
        "method": {"alpha": 0.0},
        "trajectories": {"count": 8, "batch_size": 4, "shard_size": 4},
        "training": {"steps": 30, "batch_size": 4, "learning_rate": 1e-3, "checkpoint_every": 2},
        "evaluation": {
            "count": 16,
            "images_per_prompt": 2,
            "batch_size": 12,
            "bootstrap_samples": 200,
            "gallery_count": 2,
        },
    }
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def rats(recipe, tmp_path_factory):
    """A function that starts ``rats run`` in a workspace."""
    environment = {**os.environ, "RATS_KEYS": str(tmp_path_factory.mktemp("keys"))}

    def start(workspace, *overrides):
        words = [word for override in overrides for word in ("--set", override)]
        command = [sys.executable, "-m", "pipelines.cli", "run", str(recipe), "--workspace", str(workspace), *words]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture(scope="module")
def first(rats, tmp_path_factory):
    """The folder of one undisturbed run."""
    workspace = tmp_path_factory.mktemp("workspace")
    process = rats(workspace)
    out, err = process.communicate()
    assert process.returncode == 0, f"{out}\n{err}\n{log(workspace)}"
    return (workspace / "latest").resolve()


def log(workspace: Path) -> str:
    return (workspace / "latest" / "pipeline.log").read_text()[-5000:]


def training_result(run: Path) -> dict:
    folder = json.loads((run / "steps" / "train_student.json").read_text())["folder"]
    return json.loads((Path(folder) / "result.json").read_text())


def test_a_run_leaves_what_it_promises(first):
    run = json.loads((first / "run.json").read_text())
    assert run["status"] == "succeeded"
    assert len(run["recipe_digest"]) == 12
    assert run["commit"]
    assert [step["name"] for step in run["steps"]] == list(STEPS)
    assert all(step["status"] == "succeeded" and not step["cached"] for step in run["steps"]), run["steps"]
    assert sum(step["seconds"] for step in run["steps"]) < run["seconds"]
    for result in ("scorecard", "report", "student", "package"):
        assert Path(run[result]).exists()
    card = json.loads((first / "scorecard.json").read_text())
    assert card["nfe"]["2"]["b"]["ci95"][0] > 0
    assert "data:image/webp" in (first / "report.html").read_text()
    assert (first / "student" / "model_index.json").is_file()
    assert (first.parent / "mlflow.db").is_file()


def test_an_unchanged_run_reuses_every_step_and_says_so(rats, first):
    process = rats(first.parent)
    out, _ = process.communicate()
    assert process.returncode == 0
    run = read_run((first.parent / "latest").resolve())
    assert [step["name"] for step in run["steps"] if not step["cached"]] == ["prepare", "promote_student", "report_end"]
    assert out.count("unchanged, reused") == len(STEPS) - 3
    assert "rats-tiny version 1 is the champion already" in out


@pytest.mark.slow
def test_a_change_redoes_only_what_depends_on_it_and_the_other_branch_runs(rats, first):
    process = rats(first.parent, "training.steps=1", "training.learning_rate=1e-9", "evaluation.count=4")
    process.communicate()
    assert process.returncode == 0, log(first.parent)
    run = read_run((first.parent / "latest").resolve())
    state = {step["name"]: (step["status"], step["cached"]) for step in run["steps"]}
    assert state["generate_trajectories"] == ("succeeded", True)
    assert state["train_student"] == ("succeeded", False)
    assert {state[step][0] for step in ("package_student", "smoke_test", "promote_student")} == {"skipped"}
    assert state["report"] == ("succeeded", False)
    assert run["package"] is None


@pytest.mark.slow
def test_a_run_that_is_killed_while_training_resumes_and_ends_the_same(rats, first, tmp_path):
    shutil.copytree(first.parent / "cache" / "generate_trajectories", tmp_path / "cache" / "generate_trajectories")
    process = rats(tmp_path)
    while not list(tmp_path.glob("cache/train_student/*/checkpoints/latest.json")):
        assert process.poll() is None, log(tmp_path)
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert read_run((tmp_path / "latest").resolve())["status"] == "interrupted"

    again = rats(tmp_path)
    again.communicate()
    assert again.returncode == 0, log(tmp_path)
    resumed, undisturbed = training_result((tmp_path / "latest").resolve()), training_result(first)
    assert resumed["resumed_from"] >= 2
    assert resumed["final_loss"] == undisturbed["final_loss"]
