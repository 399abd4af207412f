import json
from pathlib import Path

import numpy as np
import pytest
from kfp import dsl
from mlflow import MlflowClient

from components.evaluate_rewards.component import evaluate_rewards
from components.evaluate_rewards.tracking import flatten, track
from components.shared.students import STUDENT_TAG
from rats_train.config import load_recipe
from rats_train.errors import RetryableError
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
    assert {file.path for file in client.list_artifacts(version.run_id)} == {"evaluation", "student", "training"}
    pictures = {Path(file.path).name for file in client.list_artifacts(version.run_id, "evaluation")}
    assert pictures >= {"scorecard.json", "grid.png", "worst.png", "curves.png", "gallery.html", "categories.json"}
    assert tracked.data.tags["rats.evaluation_digest"] == card["evaluation_digest"]
    kinds = read_json(client.download_artifacts(version.run_id, "evaluation/categories.json"))
    assert [row[kinds["columns"].index("metric")] for row in kinds["data"]] == [
        row["metric"] for row in card["categories"]
    ]
    assert version.tags[STUDENT_TAG] == sha256_tree(tiny_student)
    assert (Path(version.source.removeprefix("file://")) / "model_index.json").is_file()


def test_entering_the_same_twice_leaves_one_run_and_one_version(enter):
    enter("k1")
    client = enter("k1")
    experiment = client.get_experiment_by_name("rats").experiment_id
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
