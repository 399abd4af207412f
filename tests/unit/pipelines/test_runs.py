"""What a run's folder says, also when its process is gone."""

import io
import json
import os
import subprocess
import sys
import time
from contextlib import redirect_stdout

import pytest
from rich.console import Console

from pipelines.runs import STEPS, create_run, find_result, find_run, read_progress, read_run
from pipelines.view import clock, live_view, results_view, run_view, steps_table
from rats_train.errors import UserError
from rats_train.files import write_json


def text(renderable) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_runs_begun_in_one_second_have_folders_of_their_own(tmp_path):
    runs = [create_run(tmp_path, "emoji", {}) for _ in range(3)]
    assert len(set(runs)) == 3
    assert find_run(tmp_path) == runs[-1]
    assert (tmp_path / "latest").readlink().name == runs[-1].name


def test_a_run_whose_process_is_gone_is_interrupted_and_so_is_its_step(tmp_path):
    run = create_run(tmp_path, "emoji", {})
    write_json(
        run / "steps" / "prepare.json", {"name": "prepare", "status": "succeeded", "seconds": 1, "cached": False}
    )
    write_json(run / "steps" / "train_student.json", {"name": "train_student", "status": "running", "seconds": 0})
    assert [step["status"] for step in read_run(run)["steps"]][:3] == ["succeeded", "waiting", "running"]
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_json(run / "run.json", json.loads((run / "run.json").read_text()) | {"pid": gone.pid})
    values = read_run(run)
    assert values["status"] == "interrupted"
    assert [step["status"] for step in values["steps"]][:3] == ["succeeded", "skipped", "interrupted"]
    assert "train_student          interrupted  the same command carries on" in text(run_view(values))


def test_the_newest_result_is_found(tmp_path):
    for number in range(2):
        run = create_run(tmp_path, "emoji", {})
        (run / "package").mkdir()
        os.utime(run, (number, number))
    assert find_result(tmp_path, "package") == run / "package"
    with pytest.raises(UserError, match="No student in"):
        find_result(tmp_path, "student")


def test_a_student_that_was_not_promoted_is_named_with_the_way_to_serve_it_all_the_same(tmp_path):
    student = create_run(tmp_path, "emoji", {}) / "student"
    student.mkdir()
    with pytest.raises(UserError, match=r"^No student in .* was promoted, [^\n]*`rats serve --repo models`\.$") as told:
        find_result(tmp_path, "package")
    assert f"rats package {student} --out models" in str(told.value)


def test_the_view_shows_how_far_the_running_step_is(tmp_path):
    write_json(tmp_path / "progress.json", {"step": 30, "steps": 120, "eta_seconds": 75.2, "reward_student": 0.25})
    running = {"name": "train_student", "status": "running", "folder": str(tmp_path)}
    assert read_progress(running)["steps"] == 120
    shown = text(steps_table([running]))
    assert "train_student" in shown
    assert "30/120 · 1:15 left · reward student 0.250" in shown
    waiting = {
        "step": 0,
        "steps": 9,
        "reward_student": None,
        "waiting_for": "reward a at http://h",
        "waiting_seconds": 7,
    }
    write_json(tmp_path / "progress.json", waiting)
    assert "0/9 · waiting for reward a at http://h · waiting seconds 7" in text(steps_table([running]))
    reused = {
        "name": "train_student",
        "status": "succeeded",
        "cached": True,
        "work_seconds": 71.0,
        "headline": "300 steps",
    }
    assert "unchanged, reused (1:11 when it ran)" in text(steps_table([reused]))
    assert read_progress({"name": "prepare"}) == {}


def test_the_results_show_leads_with_intervals(tmp_path):
    row = {"kind": "heldout", "student": 0.5, "teacher_same_nfe": 0.4, "teacher_50": 0.6}
    row |= {"gap": 0.1, "ci95": [0.05, 0.15], "gap_50": -0.1, "ci95_50": [-0.2, 0.0]}
    quality = {"all_correct": row | {"kind": "verifier"}, "diversity_pixels": row | {"kind": "diversity"}}
    write_json(tmp_path / "scorecard.json", {"nfe": {"3": {"b": row}}, "quality": {"3": quality}})
    shown = text(results_view({"scorecard": str(tmp_path / "scorecard.json"), "report": "/r.html", "package": None}))
    assert "+0.100 [+0.050, +0.150]" in shown
    assert "all_correct (verifier)" in shown
    assert "diversity" not in shown
    assert "/r.html" in shown
    assert "package" not in shown


def test_a_finished_run_ends_with_the_way_to_serve_its_student(tmp_path):
    student = str(tmp_path / "student")
    promoted = {"status": "succeeded", "student": student, "package": str(tmp_path / "package")}
    assert text(results_view(promoted)).rstrip().endswith("serve it  `rats serve`")
    shown = " ".join(text(results_view(promoted | {"package": None})).split())
    assert f"not promoted, the report says why; all the same: `rats package {student} --out models`" in shown
    assert "serve it" not in text(results_view(promoted | {"status": "failed", "package": None}))


@pytest.mark.parametrize(("seconds", "said"), [(7.44, "7.4 s"), (59.96, "60.0 s"), (75, "1:15"), (3661, "1:01:01")])
def test_clock(seconds, said):
    assert clock(seconds) == said


def test_steps_are_in_the_order_of_the_pipeline():
    assert STEPS[0] == "prepare"
    assert STEPS[-2:] == ("report", "report_end")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_live_view_stays_on_the_screen_while_output_goes_to_the_log(tmp_path, monkeypatch, capsys, terminal):
    monkeypatch.setenv("TTY_COMPATIBLE", str(int(terminal)))
    run = create_run(tmp_path, "emoji", {})
    log = io.StringIO()
    with live_view(run, Console()), redirect_stdout(log):
        for step in ("prepare", "report"):
            write_json(
                run / "steps" / f"{step}.json", {"name": step, "status": "succeeded", "seconds": 1, "cached": False}
            )
            time.sleep(0.7)
    shown = capsys.readouterr().out
    assert "prepare" in shown
    assert "report" in shown
    assert log.getvalue() == ""
    assert ("\x1b[" in shown) is terminal
