from pathlib import Path

import pytest
from kfp import dsl
from mlflow import MlflowClient

from components.report_retraining.component import report_retraining
from components.report_retraining.work import TAG


@pytest.fixture
def tracker(tmp_path, monkeypatch):
    """A tracker with one version of a reward."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
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


def test_the_version_tells_how_its_retraining_ended(tracker, output, capsys):
    summary = output(dsl.Markdown, "summary")
    report_retraining.python_func(end("SUCCEEDED"), "hpsv2@1", "r1", summary)
    assert tracker.get_model_version("hpsv2", "1").tags[TAG] == "succeeded, run r1"
    report_retraining.python_func(end("FAILED", "no GPU"), "hpsv2@1", "r2", summary)
    assert tracker.get_model_version("hpsv2", "1").tags[TAG] == "failed, run r2"
    assert Path(summary.path).read_text() == (
        "# Retraining on hpsv2@1 failed\n\nReward: hpsv2@1. Pipeline run: r2.\n\nno GPU\n"
    )

    with pytest.raises(SystemExit) as ended:
        report_retraining.python_func(end("SUCCEEDED"), "hpsv2@9", "r3", summary)
    assert ended.value.code == 75
    assert "hpsv2" in capsys.readouterr().err
