"""The pipeline compiles to YAML that KFP's own schema accepts, strictly."""

import re

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components.image import BASE_IMAGE
from components.shared.keys import STEPS as KEYED
from pipelines.compiled import compile_pipeline
from pipelines.plan import FEEDS
from pipelines.runs import STEPS


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    path = compile_pipeline(tmp_path_factory.mktemp("compiled") / "folder" / "pipeline.yaml")
    return yaml.safe_load(path.read_text())


def parse(document):
    return json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())


def test_the_schema_accepts_it_and_would_refuse_an_unknown_field(compiled):
    assert parse(compiled).pipeline_info.name == "train-and-deploy"
    with pytest.raises(json_format.ParseError, match="planted"):
        parse(compiled | {"planted": 1})


def test_every_step_runs_our_image_by_digest_and_installs_nothing(compiled):
    executors = compiled["deploymentSpec"]["executors"].values()
    assert {executor["container"]["image"] for executor in executors} == {BASE_IMAGE}
    assert re.search(r"@sha256:[0-9a-f]{64}$", BASE_IMAGE)
    assert not any("pip install" in part for executor in executors for part in executor["container"]["command"])


def test_conditions_compare_with_bare_tokens_only(compiled):
    dags = [component["dag"] for component in compiled["components"].values() if "dag" in component]
    policies = [task.get("triggerPolicy", {}) for dag in dags for task in dag["tasks"].values()]
    conditions = [policy["condition"] for policy in policies if "condition" in policy]
    assert len(conditions) == 2
    assert {literal for condition in conditions for literal in re.findall(r"== (.*?)\)?$", condition)} == {"'promote'"}


def test_prepare_is_never_cached_and_everything_else_has_a_key(compiled):
    tasks = compiled["root"]["dag"]["tasks"]
    assert not tasks["prepare"].get("cachingOptions", {}).get("enableCache")
    inputs = {name: spec.get("inputDefinitions", {}) for name, spec in compiled["components"].items()}
    for step in KEYED:
        assert "key" in inputs[f"comp-{step.replace('_', '-')}"]["parameters"]


def test_the_docstring_numbers_the_steps_that_run():
    from pipelines.train_and_deploy import train_and_deploy

    numbered = re.findall(r"^ *(\d+)\. ", train_and_deploy.description, re.MULTILINE)
    assert numbered == [str(number + 1) for number in range(len(STEPS))]
    assert tuple(FEEDS) == STEPS
    assert tuple(step for step in STEPS if step not in ("prepare", "promote_student")) == KEYED
