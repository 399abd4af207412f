"""Steps of the compiled YAML, run as KFP's launcher runs them; the whole pipeline is in tests/e2e/test_launcher.py."""

import pytest
import yaml
from mlflow import MlflowClient

from components.shared.code import ROOT
from components.shared.keys import KEYS, step_keys
from pipelines.compiled import compile_pipeline
from rats_train.config import load_recipe
from tests.kfp_launcher import Launcher, TaskFailedError
from tests.tracked_students import empty_tracker  # noqa: F401


@pytest.fixture
def launcher(tmp_path, empty_tracker):  # noqa: F811
    document = compile_pipeline(tmp_path / "pipeline.yaml").read_text()
    tracker = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "mlflow.db").write_bytes(empty_tracker.read_bytes())
    environment = {"PYTHONPATH": str(ROOT), "RATS_WORKSPACE": str(tmp_path / "work"), "MLFLOW_TRACKING_URI": tracker}
    return Launcher(next(yaml.safe_load_all(document)), tmp_path / "launched", environment)


def test_the_first_step_hands_out_what_the_local_run_hands_out(launcher):
    overrides = ["training.steps=7"]
    given = {"recipe": "emoji", "overrides": overrides, "force": "", "trajectory_tasks": 3.0}
    made = launcher.run_step("prepare", given)
    expected = load_recipe("emoji", overrides)
    assert made.parameters.pop("shards") == ["0-1", "2-4", "5-7"]
    assert made.parameters == step_keys(expected)
    assert tuple(made.parameters) == KEYS
    assert load_recipe(made.artifacts["resolved"][0]["uri"]) == expected


def test_a_pipeline_that_fails_is_reported(launcher):
    with pytest.raises(TaskFailedError, match="prepare: status 2"):
        launcher.run({"recipe": "emojy"})
    assert launcher.ended == ["prepare", "report-end"]
    assert "prepare: No recipe emojy" in (launcher.folder / "report-end" / "summary").read_text()
    client = MlflowClient(launcher.environment["MLFLOW_TRACKING_URI"])
    [run] = client.search_runs([client.get_experiment_by_name("rats-pipelines").experiment_id])
    assert run.info.status == "FAILED"
