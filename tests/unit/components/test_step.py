"""A step is done once per key, resumed when asked, published whole, and says what became of it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.shared.step import is_done, progress_writer, run_step
from components.shared.summary import write_summary
from components.shared.workspace import RUN_VARIABLE, RUNNER_VARIABLE, WORKSPACE_VARIABLE, step_dir
from rats_train.errors import RetryableError, UserError


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A workspace with one run in it; returns the run's folder."""
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(tmp_path))
    monkeypatch.setenv(RUN_VARIABLE, str(tmp_path / "run"))
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)
    return tmp_path / "run"


def record(run: Path, step: str = "draw") -> dict:
    return json.loads((run / "steps" / f"{step}.json").read_text())


def test_the_work_is_done_once_per_key(run, tmp_path):
    calls = []

    def work(folder, progress):
        calls.append(folder)
        (folder / "picture").mkdir()
        (folder / "picture" / "a.txt").write_text(f"call {len(calls)}")
        write_summary(folder, "# one picture")

    for target in ("first", "second"):
        run_step("draw", "k1", work, {"picture": str(tmp_path / target)})
    assert len(calls) == 1
    assert (tmp_path / "second" / "a.txt").read_text() == "call 1"
    assert record(run)["cached"] is True
    assert record(run)["headline"] == "one picture"

    run_step("draw", "k2", work, {"picture": str(tmp_path / "second")})
    assert (tmp_path / "second" / "a.txt").read_text() == "call 2"
    assert record(run)["cached"] is False


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("whale")])
def test_work_that_was_lost_or_changed_on_disk_is_done_again(run, tmp_path, damage):
    def work(folder, progress):
        (folder / "a.txt").write_text("whole")

    run_step("draw", "k1", work, {})
    assert is_done("draw", "k1", tmp_path)
    damage(step_dir("draw", "k1") / "a.txt")
    assert not is_done("draw", "k1", tmp_path)
    run_step("draw", "k1", work, {"a.txt": str(tmp_path / "out")})
    assert (tmp_path / "out").read_text() == "whole"


@pytest.mark.parametrize(("resumes", "seen"), [(True, ["half"]), (False, [])])
def test_only_a_step_that_resumes_finds_what_a_killed_attempt_left(run, resumes, seen):
    def killed(folder, progress):
        (folder / "half").touch()
        raise KeyboardInterrupt

    found = []
    with pytest.raises(KeyboardInterrupt):
        run_step("draw", "k1", killed, {}, resumes=resumes)
    run_step("draw", "k1", lambda folder, progress: found.extend(p.name for p in folder.iterdir()), {}, resumes=resumes)
    assert found == seen


@pytest.mark.parametrize(("error", "status"), [(UserError("no such shard"), 2), (RetryableError("preempted"), 75)])
def test_a_known_failure_is_one_line_and_a_status(run, capsys, error, status):
    def work(folder, progress):
        raise error

    with pytest.raises(SystemExit) as ended:
        run_step("draw", "k1", work, {})
    assert ended.value.code == status
    assert capsys.readouterr().err == f"draw: {error}\n"
    assert record(run)["status"] == "failed"
    assert record(run)["error"] == str(error)
    assert record(run)["exit_code"] == status


def test_a_fault_of_ours_keeps_its_traceback(run):
    def work(folder, progress):
        raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        run_step("draw", "k1", work, {})
    assert record(run)["error"] == "ValueError: three"
    assert record(run)["exit_code"] == 1


PROGRAM = """
import sys, time
from pathlib import Path
from components.shared.step import run_step

def work(folder, progress):
    (folder / "pid").write_text(sys.argv[1])
    time.sleep(float(sys.argv[2]))

run_step("draw", "k1", work, {"pid": sys.argv[3]})
"""


def start(name: str, seconds: float, target: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, name, str(seconds), str(target)])


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def test_two_processes_with_one_key_do_the_work_once(run, tmp_path):
    first = start("first", 1.0, tmp_path / "a")
    wait_for(step_dir("draw", "k1") / "pid")
    second = start("second", 0, tmp_path / "b")
    assert first.wait() == second.wait() == 0
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text() == "first"


SLOW_WRITER = """
import sys, time
from pathlib import Path
from components.shared.step import run_step

def work(folder, progress):
    for name in ("a", "b", "c"):
        if not (folder / name).exists():
            (folder / name).write_text(name * 9)
            time.sleep(float(sys.argv[2]))

run_step("draw", "k1", work, {".": sys.argv[1]}, resumes=sys.argv[3] == "resumes")
"""


@pytest.mark.parametrize("how", ["resumes", "begins again"])
def test_killed_retried_and_run_twice_at_once_it_leaves_one_complete_output(run, tmp_path, how):
    def begin(target, seconds):
        return subprocess.Popen([sys.executable, "-c", SLOW_WRITER, str(tmp_path / target), str(seconds), how])

    killed = begin("killed", 60)
    wait_for(step_dir("draw", "k1") / "a")
    killed.kill()
    killed.wait()
    assert not is_done("draw", "k1", tmp_path)
    assert not (tmp_path / "killed").exists()

    both = [begin("first", 0.2), begin("second", 0.2)]
    assert [process.wait() for process in both] == [0, 0]
    assert is_done("draw", "k1", tmp_path)
    for target in ("first", "second"):
        assert {path.name: path.read_text() for path in (tmp_path / target).glob("?")} == {c: c * 9 for c in "abc"}


def test_a_step_ends_with_the_runner_that_started_it(run, tmp_path, monkeypatch):
    runner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setenv(RUNNER_VARIABLE, str(runner.pid))
    step = start("orphan", 60, tmp_path / "a")
    wait_for(step_dir("draw", "k1") / "pid")
    assert step.poll() is None
    runner.kill()  # not reaped: a zombie counts as gone
    assert step.wait(timeout=10) == 75


def test_progress_tells_how_far_and_how_long_yet(tmp_path):
    progress = progress_writer(tmp_path / "progress.json", every=0)
    progress(0, 10)
    assert json.loads((tmp_path / "progress.json").read_text()) == {"step": 0, "steps": 10, "eta_seconds": None}
    time.sleep(0.05)
    progress(5, 10, reward_teacher=0.5)
    written = json.loads((tmp_path / "progress.json").read_text())
    assert written["reward_teacher"] == 0.5
    assert 0.04 < written["eta_seconds"] < 5
