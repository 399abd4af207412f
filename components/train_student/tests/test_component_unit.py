import json
from pathlib import Path

from kfp import dsl

from components.shared.workspace import step_dir
from components.train_student.component import train_student
from components.train_student.work import _details, _in_short, _waits
from rats_train.config import load_recipe
from rats_train.engine.records import read_lines
from rats_train.evaluation.learning import read_learning
from rats_train.trajectories.generate import generate


def test_it_trains_a_stock_student_and_keeps_no_checkpoint(tiny_recipe, resolved, output, tmp_path):
    generate(load_recipe(str(tiny_recipe)), tmp_path / "store")
    student, log = output(dsl.Model, "student"), output(dsl.Artifact, "log")
    curves, summary, metrics = (
        output(dsl.HTML, "curves"),
        output(dsl.Markdown, "summary"),
        output(dsl.Metrics, "metrics"),
    )
    store = dsl.Dataset(uri=str(tmp_path / "store"))
    train_student.python_func("k1", resolved, [store], dsl.TaskConfig(), student, log, curves, summary, metrics)
    assert (Path(student.path) / "model_index.json").is_file()
    assert len((Path(log.path) / "metrics.jsonl").read_text().splitlines()) == 2
    result = json.loads((Path(log.path) / "result.json").read_text())
    assert [line["step"] for line in read_lines(Path(log.path) / "watch.jsonl")] == [0, 2]
    assert (Path(log.path) / "alarms.jsonl").read_text() == ""
    assert (Path(log.path) / "outages.jsonl").read_text() == ""
    assert metrics.metadata["exported_step"] == 2
    assert metrics.metadata["final_loss"] == result["final_loss"]
    assert "<svg" in Path(curves.path).read_text()
    assert Path(summary.path).read_text().startswith("# 2 steps, final loss ")
    folder = step_dir("train_student", "k1")
    assert not (folder / "checkpoints").exists()
    assert not (folder / "best").exists()
    assert json.loads((folder / "progress.json").read_text())["step"] == 2


def test_the_summary_names_alarms_and_the_prompts_where_the_teacher_leads(guarded_dir):
    learning = read_learning(guarded_dir)
    assert _in_short(learning) == "; dead gate at step 150"
    alarm, lead, rows = _details(learning)
    assert alarm == "**dead gate, step 150.** All gates were shut. Raise method.tau."
    assert lead == "The teacher still leads on 10 of 20 prompts, most on:"
    assert rows.splitlines()[2].startswith("| synthetic prompt 0 | -0.09")


def test_the_summary_tells_what_was_waited_for(tmp_path):
    file = tmp_path / "outages.jsonl"
    file.write_text("")
    assert _waits(file) == []
    outage = {"step": 4, "reward": "hps", "url": "http://h:1", "seconds": 30.5, "ended": "answered"}
    file.write_text(json.dumps(outage) + "\n")
    assert _waits(file)[1].splitlines()[2] == "| 4 | hps at http://h:1 | 30 | answered |"
