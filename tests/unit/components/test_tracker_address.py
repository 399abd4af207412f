"""The line that leads from a step's summary to MLflow."""

import pytest

from components.shared.step import run_step
from components.shared.summary import write_summary, write_tracked
from components.shared.tracker_address import tracker_line
from components.shared.workspace import WORKSPACE_VARIABLE, step_dir

SERVER = "https://me:pw@tracker:443/mlflow/"


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(tmp_path))
    return tmp_path


def test_it_is_a_link_without_the_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    assert tracker_line() == "[MLflow](https://tracker:443/mlflow/#/)"
    assert tracker_line("models/rats-emoji") == "[MLflow](https://tracker:443/mlflow/#/models/rats-emoji)"


def test_a_run_of_kfps_integration_is_where_it_leads_by_itself(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    monkeypatch.setenv("MLFLOW_RUN_ID", "abc")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "7")
    assert tracker_line() == "[MLflow](https://tracker:443/mlflow/#/experiments/7/runs/abc)"
    assert tracker_line("models/rats-emoji").endswith("#/models/rats-emoji)")


def test_a_file_is_opened_by_a_command(workspace):
    assert tracker_line() == f"MLflow: `mlflow ui --backend-store-uri sqlite:///{workspace}/mlflow.db`."
    assert tracker_line("models/a").endswith("mlflow.db`, page `#/models/a`.")


def test_a_step_publishes_the_way_and_keeps_its_summary_without(monkeypatch, workspace):
    def work(folder, progress):
        write_summary(folder, "# one picture")
        write_tracked(folder, "experiments/1/runs/x")

    for server in ("http://old", "http://new"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
        run_step("draw", "k1", work, {"summary.md": str(workspace / "summary")})
        shown = (workspace / "summary").read_text()
        assert shown == f"# one picture\n\n[MLflow]({server}/#/experiments/1/runs/x)\n"
    assert (step_dir("draw", "k1") / "summary.md").read_text() == "# one picture\n"
