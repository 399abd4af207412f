from pathlib import Path

import pytest
from kfp import dsl

from components.package_student.component import package_student
from rats_train.errors import UserError
from serving.package.verification import find_packages


def test_the_package_is_signed_and_carries_scorecard_and_hints(resolved, tiny_student, evaluation_dir, output):
    package, summary = output(dsl.Model, "package"), output(dsl.Markdown, "summary")
    student, evaluation = dsl.Model(uri=str(tiny_student)), dsl.Artifact(uri=str(evaluation_dir))
    package_student.python_func("k1", resolved, student, evaluation, package, summary)
    (found,) = find_packages(Path(package.path))
    assert found.steps == [2, 3]
    assert (found.path / "scorecard.json").read_bytes() == (evaluation_dir / "scorecard.json").read_bytes()
    assert found.hints.examples
    assert "# student version 1, signed" in Path(summary.path).read_text()

    (found.path / "scorecard.json").write_text("{}")
    with pytest.raises(UserError, match=r"scorecard\.json"):
        find_packages(Path(package.path))
