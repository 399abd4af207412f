import json
from pathlib import Path

from kfp import dsl

from components.shared.workspace import step_dir
from components.train_student.component import train_student
from rats_train.config import load_recipe
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
    train_student.python_func("k1", resolved, store, student, log, curves, summary, metrics)
    assert (Path(student.path) / "model_index.json").is_file()
    assert len((Path(log.path) / "metrics.jsonl").read_text().splitlines()) == 2
    result = json.loads((Path(log.path) / "result.json").read_text())
    assert metrics.metadata["final_loss"] == result["final_loss"]
    assert "<svg" in Path(curves.path).read_text()
    assert Path(summary.path).read_text().startswith("# 2 steps, final loss ")
    folder = step_dir("train_student", "k1")
    assert not (folder / "checkpoints").exists()
    assert json.loads((folder / "progress.json").read_text())["step"] == 2
