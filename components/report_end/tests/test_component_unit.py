from pathlib import Path

import pytest
from kfp import dsl
from mlflow import MlflowClient

from components.report_end.component import report_end
from components.report_end.work import EXPERIMENT, RETRAINING_TAG


@pytest.fixture
def client(tracker, tmp_path):
    """A tracker with one version of a reward."""
    client = MlflowClient(tracker)
    client.create_registered_model("hpsv2")
    client.create_model_version("hpsv2", str(tmp_path))
    return client


def end(state, error=None):
    return dsl.PipelineTaskFinalStatus(
        state=state,
        pipeline_job_resource_name="p",
        pipeline_task_name="t",
        error_code=1 if error else None,
        error_message=error,
    )


def entered(client):
    """What MLflow knows of runs of pipelines: name, status and tags."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id])
    return {run.info.run_name: (run.info.status, run.data.tags) for run in runs}


def test_a_run_is_entered_with_its_end_once(client, output):
    summary = output(dsl.Markdown, "summary")
    for _ in range(2):
        report_end.python_func(end("SUCCEEDED"), "recipes/emoji.yaml", "run-1", summary)
    report_end.python_func(end("FAILED", "no GPU"), "emoji", "run-2", summary)
    known = entered(client)
    assert {name: status for name, (status, _) in known.items()} == {"emoji-run-1": "FINISHED", "emoji-run-2": "FAILED"}
    assert known["emoji-run-2"][1]["rats.error"] == "no GPU"
    text = Path(summary.path).read_text()
    assert text.startswith("# emoji failed\n\nPipeline run run-2.\n\nno GPU\n\nMLflow: ")
    assert "page `#/experiments/" in text


def test_the_version_of_a_reward_tells_how_its_retraining_ended(client, output, capsys):
    summary = output(dsl.Markdown, "summary")
    report_end.python_func(end("SUCCEEDED"), "emoji", "r1", summary, "hpsv2@1")
    assert client.get_model_version("hpsv2", "1").tags[RETRAINING_TAG] == "succeeded, run r1"
    report_end.python_func(end("FAILED", "no GPU"), "emoji", "r2", summary, "hpsv2@1")
    assert client.get_model_version("hpsv2", "1").tags[RETRAINING_TAG] == "failed, run r2"
    assert "page `#/models/hpsv2/versions/1`" in Path(summary.path).read_text()

    with pytest.raises(SystemExit) as ended:
        report_end.python_func(end("SUCCEEDED"), "emoji", "r3", summary, "hpsv2@9")
    assert ended.value.code == 75
    assert "hpsv2" in capsys.readouterr().err
    assert Path(summary.path).read_text().startswith("# emoji succeeded, retrained on hpsv2@9")


def test_the_run_of_kfps_integration_is_tagged_and_goes_on(client, output, monkeypatch):
    number = client.create_experiment("given")
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run(number).info.run_id)
    report_end.python_func(end("SUCCEEDED"), "emoji", "r1", output(dsl.Markdown, "summary"))
    [run] = client.search_runs([number])
    assert (run.info.status, run.data.tags["rats.state"]) == ("RUNNING", "succeeded")
    assert client.get_experiment_by_name(EXPERIMENT) is None
