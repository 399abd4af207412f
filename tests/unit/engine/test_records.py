import json
from pathlib import Path

from rats_train.engine.records import PROGRESS, Records, read_lines, write_waiting
from rats_train.files import read_json


def add(records: Records, step: int) -> None:
    metrics = {"step": step, "loss": 0.1 * step, "seconds": 2.0, "reward_student": 0.5, "reward_teacher": 0.25}
    records.add(metrics, [{"step": step, "prompt": "one cat"}, {"step": step, "prompt": "two owls"}])


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    records = Records(tmp_path, 0, 3)
    for step in (1, 2, 3):
        add(records, step)
    assert [line["loss"] for line in read_lines(tmp_path / "metrics.jsonl")] == [0.1, 0.2, 0.1 * 3]
    assert len(read_lines(tmp_path / "samples.jsonl")) == 6


def test_steps_after_the_checkpoint_are_dropped_because_they_come_again(tmp_path: Path) -> None:
    records = Records(tmp_path, 0, 5)
    for step in (1, 2, 3):
        add(records, step)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed while writing
    records = Records(tmp_path, 2, 5)
    add(records, 3)
    assert [line["step"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    assert [line["step"] for line in read_lines(tmp_path / "samples.jsonl")] == [1, 1, 2, 2, 3, 3]


def test_progress_tells_the_time_left(tmp_path: Path) -> None:
    add(Records(tmp_path, 0, 11), 1)
    assert json.loads((tmp_path / "progress.json").read_text()) == {
        "step": 1,
        "steps": 11,
        "eta_seconds": 20.0,
        "reward_student": 0.5,
        "reward_teacher": 0.25,
    }


def test_the_last_step_is_always_in_the_progress(tmp_path: Path) -> None:
    records = Records(tmp_path, 0, 2)
    add(records, 1)
    add(records, 2)  # less than a second later
    assert json.loads((tmp_path / "progress.json").read_text())["step"] == 2


def test_progress_tells_of_a_wait_and_forgets_it(tmp_path: Path) -> None:
    write_waiting(tmp_path, 0, 3, "a server", 1.6)
    assert read_json(tmp_path / PROGRESS)["waiting_seconds"] == 2
    add(Records(tmp_path, 0, 3), 1)
    before = read_json(tmp_path / PROGRESS)
    write_waiting(tmp_path, 1, 3, "a server", 30)
    waiting = {"eta_seconds": None, "waiting_for": "a server", "waiting_seconds": 30}
    assert read_json(tmp_path / PROGRESS) == before | waiting
    write_waiting(tmp_path, 1, 3, None)
    assert read_json(tmp_path / PROGRESS) == before | {"eta_seconds": None}
