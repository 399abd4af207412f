"""How a failed step ends the run: the right error, one line, and what exists published all the same."""

import json
import os

import pytest

from pipelines.errors import StepFailedError
from pipelines.local import _recorded, step_environment
from pipelines.runs import create_run
from rats_train.errors import RetryableError, UserError
from rats_train.files import write_json


@pytest.fixture
def run(tmp_path):
    """A run whose training has succeeded."""
    run = create_run(tmp_path, "tiny", {})
    (tmp_path / "work" / "student").mkdir(parents=True)
    (tmp_path / "work" / "student" / "model_index.json").write_text("{}")
    record(run, "train_student", status="succeeded", folder=str(tmp_path / "work"))
    return run


def record(run, step, **values):
    write_json(run / "steps" / f"{step}.json", {"name": step, "seconds": 1.0, "cached": False, **values})


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        ({"status": "failed", "error": "no reward b", "exit_code": 2}, UserError, "evaluate_rewards: no reward b"),
        ({"status": "failed", "error": "preempted", "exit_code": 75}, RetryableError, "evaluate_rewards: preempted"),
        (
            {"status": "failed", "error": "KeyError: 3\n\nnot found", "exit_code": 1},
            StepFailedError,
            "failed: KeyError: 3 not found. The whole log is ",
        ),
        ({"status": "running"}, RetryableError, "evaluate_rewards: its process was killed, perhaps for want of memory"),
    ],
)
def test_the_error_is_the_one_that_the_step_recorded(run, values, kind, said):
    record(run, "evaluate_rewards", **values)
    with pytest.raises(kind, match=said), _recorded(run):
        raise RuntimeError("Pipeline finished with status FAILURE")
    written = json.loads((run / "run.json").read_text())
    assert written["status"] == "failed"
    assert said in written["error"]
    states = {step["name"]: step["status"] for step in written["steps"]}
    assert states["evaluate_rewards"] == "failed"
    assert states["report"] == "skipped"
    assert (run / "student" / "model_index.json").is_file()
    assert written["student"] == str(run / "student")
    assert written["report"] is None


def test_a_run_stopped_by_hand_is_interrupted(run):
    with pytest.raises(KeyboardInterrupt), _recorded(run):
        raise KeyboardInterrupt
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"


def test_an_error_before_any_step_is_itself(tmp_path):
    with pytest.raises(ValueError, match="no such pipeline"), _recorded(create_run(tmp_path, "tiny", {})):
        raise ValueError("no such pipeline")


def test_the_steps_find_this_copy_of_the_code_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environment = step_environment(tmp_path / "run", tmp_path)
    assert environment["PYTHONPATH"].split(os.pathsep)[1] == "/elsewhere"
    assert environment["RATS_RUNNER_PID"] == str(os.getpid())
