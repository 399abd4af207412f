"""The pipeline for real, by KFP's local runner, on tiny random models: every step, every branch, twice, and killed."""

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image

from pipelines.local import run_by_kfp
from pipelines.register_reward import register_reward
from pipelines.runs import STEPS, create_run, read_run, step_folder
from rats_train.files import read_json
from tests.tiny_recipe import winning_recipe


@pytest.fixture(scope="module")
def recipe(tiny_pipeline_dir, tiny_reward_dir, tmp_path_factory):
    return winning_recipe(tiny_pipeline_dir, tiny_reward_dir, tmp_path_factory.mktemp("recipe"))


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


def processor_seconds() -> float:
    """Of all processes that this one started and that have ended, with theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_an_unchanged_run_reuses_every_step_at_once_and_says_so(rats, first):
    before = processor_seconds()
    process = rats(first.parent)
    out, _ = process.communicate()
    assert process.returncode == 0
    # Eight were measured, most of them MLflow's; one import of a model library would be four more.
    assert processor_seconds() - before < 12
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


@pytest.fixture
def run_pipeline(first, monkeypatch, tmp_path):
    """A function that runs one of the pipelines in the workspace of the first run; returns its run's folder."""
    monkeypatch.setenv("RATS_CACHE", str(tmp_path / "machine"))
    monkeypatch.setenv("RATS_KEYS", str(tmp_path / "keys"))

    def run(name, **arguments):
        made = create_run(first.parent, name, {})
        with redirect_stdout(io.StringIO()):
            run_by_kfp(name, arguments, made, first.parent)
        return made, {path.stem: read_json(path)["status"] for path in (made / "steps").glob("*.json")}

    return run


@pytest.mark.slow
def test_a_student_that_is_there_is_judged_alone(run_pipeline, recipe, first):
    log = step_folder(first, "train_student") / "log"
    given = {"student": str(first / "student"), "log": str(log), "recipe": str(recipe)}
    run, states = run_pipeline("evaluate_only", **given, overrides=["evaluation.count=4"])
    assert states == dict.fromkeys(["prepare", "key_student", "evaluate_rewards", "report_end"], "succeeded")
    card, before = (
        read_json(step_folder(each, "evaluate_rewards") / "evaluation" / "scorecard.json") for each in (run, first)
    )
    assert card["arms"].keys() == before["arms"].keys()
    assert card["evaluation_digest"] != before["evaluation_digest"]


@pytest.mark.slow
def test_a_new_reward_retrains_and_its_version_tells_how_that_ended(run_pipeline, recipe, first, liked):
    latents = first.parent / "cache" / "teacher_latents"
    drawn = {path: path.stat().st_mtime_ns for path in latents.rglob("shard-*")}
    changes = [f"rewards.train=[{{name: a, path: {liked}}}]", "training.steps=2", "evaluation.count=4"]
    run, states = run_pipeline("retrain_on_new_reward", reward=liked, recipe=str(recipe), overrides=changes)
    assert set(states.values()) == {"succeeded"}
    assert not read_json(run / "steps" / "generate_trajectories.json")["cached"]
    assert {path: path.stat().st_mtime_ns for path in latents.rglob("shard-*")} == drawn
    assert {"prepare", "generate_trajectories", "train_student", "promotion_gate", "report", "report_end"} <= set(
        states
    )
    version = MlflowClient(f"sqlite:///{first.parent}/mlflow.db").get_model_version("liked", "1")
    assert version.tags["rats.retraining"].startswith("succeeded, run ")


@pytest.fixture
def liked(first, run_pipeline, tiny_reward_dir, tmp_path):
    """The tiny reward as the first version of a registered one; returns how a recipe names it."""
    rows = []
    for number, prompt in enumerate(("two owls", "one fox", "a fox")):
        Image.new("RGB", (32, 32), (80 * number, 40, 200)).save(tmp_path / f"{number}.png")
        rows.append(json.dumps({"file_name": f"{number}.png", "prompt": prompt}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(rows) + "\n")
    version, _ = register_reward(
        "liked", str(tiny_reward_dir), kind="clip", licence="MIT", pictures=str(tmp_path), root=first.parent
    )
    return version.path
