from pathlib import Path

from kfp import dsl

from components.report.component import report
from rats_train.files import write_json


def test_the_page_shows_pictures_numbers_and_what_the_steps_took(
    resolved, training_dir, evaluation_dir, output, workspace
):
    record = {
        "name": "train_student",
        "status": "done",
        "cached": True,
        "seconds": 0.1,
        "work_seconds": 95.0,
        "began": 1,
    }
    write_json(workspace / "steps" / "train_student.json", record)
    page = output(dsl.HTML, "page")
    log, evaluation = dsl.Artifact(uri=str(training_dir)), dsl.Artifact(uri=str(evaluation_dir))
    report.python_func("k1", "{}", resolved, log, evaluation, page)
    text = Path(page.path).read_text()
    assert "data:image/webp" in text
    assert "<svg" in text
    assert "1 min 35 s" in text
