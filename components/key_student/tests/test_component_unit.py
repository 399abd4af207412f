import pytest
from kfp import dsl

from components.key_student.component import key_student
from rats_train.files import read_json


@pytest.fixture
def artifacts(tmp_path, output):
    """A student and the log of its training, as far as a key looks."""
    for name, file in (("student", "model_index.json"), ("log", "metrics.jsonl")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
    return (
        dsl.Model(uri=str(tmp_path / "student")),
        dsl.Artifact(uri=str(tmp_path / "log")),
        output(dsl.Markdown, "summary"),
    )


def test_the_key_follows_what_is_judged(artifacts, tmp_path, workspace):
    key = key_student.python_func("k1", *artifacts)
    assert key == key_student.python_func("k1", *artifacts)
    assert len(key) == 24
    assert f"From {tmp_path / 'student'}" in (tmp_path / "outputs" / "summary").read_text()
    assert key_student.python_func("k2", *artifacts) != key
    (tmp_path / "student" / "weights").write_text("other")
    assert key_student.python_func("k1", *artifacts) != key
    assert read_json(workspace / "steps" / "key_student.json")["status"] == "succeeded"


@pytest.mark.parametrize(
    ("file", "said"), [("student/model_index.json", "is no student"), ("log/metrics.jsonl", "log")]
)
def test_what_is_no_student_is_refused(artifacts, tmp_path, capsys, file, said):
    (tmp_path / file).unlink()
    with pytest.raises(SystemExit) as ended:
        key_student.python_func("k1", *artifacts)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
