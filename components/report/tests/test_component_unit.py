import json
from pathlib import Path

from kfp import dsl

from components.report.component import report
from rats_train.evaluation.scores import Scores
from rats_train.evaluation.verdict import judge
from rats_train.files import write_json


def test_the_page_shows_pictures_numbers_and_what_the_steps_took(
    resolved, training_dir, evaluation_dir, output, workspace, tmp_path
):
    record = {
        "name": "train_student",
        "status": "succeeded",
        "cached": True,
        "seconds": 0.1,
        "work_seconds": 95.0,
        "began": 1,
    }
    write_json(workspace / "steps" / "train_student.json", record)
    page, summary = output(dsl.HTML, "page"), output(dsl.Markdown, "summary")
    log, evaluation = dsl.Artifact(uri=str(training_dir)), dsl.Artifact(uri=str(evaluation_dir))
    served = {"seconds_to_ready": 4.0, "largest_difference": 0} | {f"seconds_at_{n}_steps": n / 10 for n in (3, 5, 8)}
    judge(Scores.read(evaluation_dir / "scores.json"), None).write(tmp_path / "promotion" / "verdict.json")
    promotion = dsl.Artifact(uri=str(tmp_path / "promotion"))
    report.python_func("k1", json.dumps(served), resolved, log, evaluation, promotion, page, summary)
    text = Path(page.path).read_text()
    assert "data:image/webp" in text
    assert Path(summary.path).read_text().startswith("# report: ")
    assert "MLflow: `mlflow ui --backend-store-uri sqlite:///" in Path(summary.path).read_text()
    assert "<svg" in text
    assert "1 min 35 s" in text
    assert "ready after 4.0 s, then 0.3 s for a picture of 3 steps, 0.5 s" in text

    report.python_func("k2", "{}", resolved, log, evaluation, promotion, page, summary)
    assert "ready after" not in Path(page.path).read_text()

    verdict = judge(Scores.read(evaluation_dir / "scores.json"), None)
    verdict.model_copy(update={"notes": ["Another verdict."]}).write(tmp_path / "promotion" / "verdict.json")
    report.python_func("k2", "{}", resolved, log, evaluation, promotion, page, summary)
    assert "Another verdict." in Path(page.path).read_text()
