import json
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl
from mlflow import MlflowClient
from PIL import Image

from components.evaluate_rewards.component import evaluate_rewards
from components.evaluate_rewards.tracking import FILES, TILE, flatten, track
from components.shared.students import STUDENT_TAG
from rats_train.config import load_recipe
from rats_train.errors import RetryableError
from rats_train.evaluation.draws import draws_path, load_draws
from rats_train.evaluation.gallery import WORST
from rats_train.evaluation.pictures import to_picture
from rats_train.evaluation.watched import WATCH, WatchPoint
from rats_train.files import read_json, sha256_tree


@pytest.fixture(autouse=True)
def own_tracker(tracker):
    """Every test here writes into a tracker of its own."""


@pytest.fixture
def enter(tiny_recipe, tiny_student, training_dir, evaluation_dir, tracker, tmp_path, monkeypatch):
    """Enter a synthetic evaluation into a tracker of its own; returns the tracker."""
    for name in ("grid.png", "worst.png", "curves.png", "gallery.html"):
        (evaluation_dir / name).write_bytes(b"any")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker)
    monkeypatch.chdir(tmp_path)

    def entered(key):
        track(load_recipe(str(tiny_recipe)), student=tiny_student, log=training_dir, evaluation=evaluation_dir, key=key)
        return MlflowClient(tracker)

    return entered


def test_it_judges_and_remembers(resolved, tiny_student, training_dir, output, tracker):
    evaluation, summary = output(dsl.Artifact, "evaluation"), output(dsl.Markdown, "summary")
    gallery, metrics = output(dsl.HTML, "gallery"), output(dsl.Metrics, "metrics")
    log = dsl.Artifact(uri=str(training_dir))
    student = dsl.Model(uri=str(tiny_student))
    look = WatchPoint(25, 3, {"b": "heldout"}, {"b": 1.0}, {"b": np.array([0.4, 0.6])}, 1.0)
    (training_dir / WATCH).write_text(json.dumps(look.to_line()) + "\n")
    evaluate_rewards.python_func("k1", resolved, student, log, evaluation, gallery, summary, metrics)
    card = read_json(Path(evaluation.path) / "scorecard.json")
    assert metrics.metadata["lead_b_at_2"] == card["nfe"]["2"]["b"]["gap"]
    assert "| 2 | b | heldout |" in Path(summary.path).read_text()
    assert "| category | " in Path(summary.path).read_text()
    assert card["evaluation_digest"] in Path(summary.path).read_text()
    assert Path(gallery.path).read_text().count("data:image/png;base64,") == 3

    client = MlflowClient(tracker)
    (version,) = client.search_model_versions("name = 'rats-tiny'")
    tracked = client.get_run(version.run_id)
    assert tracked.info.status == "FINISHED"
    assert tracked.data.params["student.steps"] == "[2, 3]"
    assert len(client.get_metric_history(version.run_id, "train/reward_student")) == 300
    (seen,) = client.get_metric_history(version.run_id, "watch/b")
    assert (seen.step, seen.value) == (25, pytest.approx(0.5))
    assert {point.step for point in client.get_metric_history(version.run_id, "b/gap")} == {2, 3, 4}
    assert {file.path for file in client.list_artifacts(version.run_id)} == {
        *("evaluation", "student", "training"),
        "table_images",
    }
    pictures = {Path(file.path).name for file in client.list_artifacts(version.run_id, "evaluation")}
    assert pictures >= {"scorecard.json", "grid.png", "worst.png", "curves.png", "gallery.html", "categories.json"}
    assert tracked.data.tags["rats.evaluation_digest"] == card["evaluation_digest"]
    assert {"categories.json", "worst.json"} <= pictures
    assert version.tags[STUDENT_TAG] == sha256_tree(tiny_student)
    assert (Path(version.source.removeprefix("file://")) / "model_index.json").is_file()


def test_mlflows_own_tables_hold_the_kinds_of_prompt_and_the_worst_prompts_with_pictures(
    enter, evaluation_dir, tmp_path
):
    client = enter("k1")
    (version,) = client.search_model_versions("name = 'rats-tiny'")
    run, card = client.get_run(version.run_id), read_json(evaluation_dir / "scorecard.json")
    # What MLflow's pages list as tables.
    tables = {"evaluation/categories.json", "evaluation/worst.json"}
    assert {table["path"] for table in json.loads(run.data.tags["mlflow.loggedArtifacts"])} == tables

    kinds = client.load_table(run.info.experiment_id, "evaluation/categories.json", [run.info.run_id])
    for column in ("category", "prompts", "budget", "metric", "kind"):
        assert kinds[column].tolist() == [row[column] for row in card["categories"]]
    for column in ("student", "teacher_50", "gap_50"):
        assert kinds[column].tolist() == pytest.approx([row[column] for row in card["categories"]])
    worst = client.load_table(run.info.experiment_id, "evaluation/worst.json", [run.info.run_id])
    scores = read_json(evaluation_dir / "scores.json")
    assert len(worst) == WORST
    assert [scores["prompts"][scores["seeds"].index(seed) // 2] for seed in worst["seed"]] == worst["prompt"].tolist()
    for arm in ("teacher 50", "teacher 3", "student 3"):
        for cell, seed in zip(worst[arm], worst["seed"], strict=True):
            shown = Image.open(client.download_artifacts(run.info.run_id, cell["filepath"], str(tmp_path)))
            drawn = load_draws(draws_path(evaluation_dir, arm.replace(" ", "_"))).images[scores["seeds"].index(seed)]
            assert np.array_equal(np.array(shown), np.array(to_picture(drawn, TILE)))


def test_pictures_and_pages_come_back_as_they_were_entered(enter, evaluation_dir, tmp_path):
    client = enter("k1")
    (version,) = client.search_model_versions("name = 'rats-tiny'")
    for name in FILES:
        found = client.download_artifacts(version.run_id, f"evaluation/{name}", str(tmp_path))
        assert Path(found).read_bytes() == (evaluation_dir / name).read_bytes()


def test_entering_the_same_twice_leaves_one_run_one_version_and_each_number_once(enter):
    client = enter("k1")
    (version,) = client.search_model_versions("name = 'rats-tiny'")
    experiment = client.get_experiment_by_name("rats").experiment_id

    def entered():
        history = {
            name: [(point.step, point.value) for point in client.get_metric_history(version.run_id, name)]
            for name in ("train/reward_student", "reward_b/gap")
        }
        rows = client.load_table(experiment, "evaluation/categories.json", [version.run_id])
        return history, rows.to_dict()

    once = entered()
    enter("k1")
    assert entered() == once
    assert len(client.search_runs([experiment])) == 1
    assert len(client.search_model_versions("name = 'rats-tiny'")) == 1
    enter("k2")
    assert len(client.search_runs([experiment])) == 2
    assert len(client.search_model_versions("name = 'rats-tiny'")) == 2


def test_a_run_that_kfp_handed_over_is_used_and_not_ended(enter, tracker, monkeypatch):
    client = MlflowClient(tracker)
    given = client.create_run(client.create_experiment("of kfp"))
    monkeypatch.setenv("MLFLOW_RUN_ID", given.info.run_id)
    enter("k1")
    found = client.get_run(given.info.run_id)
    assert found.info.status == "RUNNING"
    assert found.data.metrics["reward_b/gap"] != 0
    assert client.get_experiment_by_name("rats") is None


def test_a_tracker_that_does_not_answer_is_worth_another_try(enter, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RetryableError, match=r"MLflow at http://127\.0\.0\.1:9"):
        enter("k1")


def test_flatten():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}
