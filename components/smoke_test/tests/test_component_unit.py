import json
from pathlib import Path

import pytest
from kfp import dsl

from components.smoke_test.component import smoke_test
from components.smoke_test.work import TOLERANCE
from serving.packaging.student import package_student


@pytest.fixture
def repo(tiny_student, tmp_path):
    package_student(tiny_student, tmp_path / "repo", prompts=["two owls"])
    return tmp_path / "repo"


def run(repo, student, output):
    page, summary, metrics = output(dsl.HTML, "page"), output(dsl.Markdown, "summary"), output(dsl.Metrics, "metrics")
    models = dsl.Model(uri=str(student)), dsl.Model(uri=str(repo))
    return json.loads(smoke_test.python_func("k1", *models, page, summary, metrics)), page, metrics


@pytest.mark.slow
def test_the_real_server_draws_what_stock_diffusers_draws(repo, tiny_student, output):
    served, page, metrics = run(repo, tiny_student, output)
    assert served["prompt"] == "two owls"
    assert metrics.metadata["largest_difference"] <= TOLERANCE
    assert metrics.metadata["seconds_at_2_steps"] > 0
    assert Path(page.path).read_text().count("data:image/png") == 2


@pytest.mark.slow
def test_a_server_that_draws_another_student_is_found_out(repo, tiny_pipeline_dir, output):
    with pytest.raises(RuntimeError, match="off stock diffusers' picture"):
        run(repo, tiny_pipeline_dir, output)
