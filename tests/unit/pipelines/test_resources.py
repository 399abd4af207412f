"""`rats cluster pipelines`: the same bytes each time, and every field one that KFP knows."""

import copy
import os
import subprocess
import sys

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipelines import compiled
from pipelines.compiled import PIPELINES, write_resources


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("resources") / "gitops"
    write_resources(path, "rats")
    return path


def documents(folder, name):
    return list(yaml.safe_load_all((folder / f"{name}.yaml").read_text()))


@pytest.mark.parametrize("name", PIPELINES)
def test_each_pipeline_has_a_version_that_kfps_schema_accepts(folder, name):
    pipeline, version = documents(folder, name)
    assert (pipeline["kind"], version["kind"]) == ("Pipeline", "PipelineVersion")
    assert {each["apiVersion"] for each in (pipeline, version)} == {"pipelines.kubeflow.org/v2beta1"}
    assert {each["metadata"]["namespace"] for each in (pipeline, version)} == {"rats"}
    assert pipeline["metadata"]["name"] == version["spec"]["pipelineName"] == name.replace("_", "-")
    assert pipeline["spec"]["displayName"].startswith("RATS: ")
    json_format.ParseDict(version["spec"]["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(version["spec"]["platformSpec"], pipeline_spec_pb2.PlatformSpec())
    with pytest.raises(json_format.ParseError, match="planted"):
        json_format.ParseDict(version["spec"]["pipelineSpec"] | {"planted": 1}, pipeline_spec_pb2.PipelineSpec())


def test_another_process_writes_the_same_bytes(folder, tmp_path):
    command = [sys.executable, "-m", "pipelines.cli", "cluster", "pipelines", tmp_path, "--namespace", "rats"]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        file.name: file.read_bytes() for file in folder.iterdir()
    }


def test_the_kustomization_names_every_file(folder):
    named = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert sorted([*named, "kustomization.yaml"]) == sorted(file.name for file in folder.iterdir())


def test_a_changed_pipeline_is_another_version(folder, tmp_path, monkeypatch):
    def changed(name):
        pipeline = copy.deepcopy(load(name))
        inputs = pipeline.pipeline_spec.root.input_definitions.parameters
        inputs["recipe"].description += " or another"
        return pipeline

    load = compiled.load_pipeline
    before = {name: documents(folder, name)[1]["metadata"]["name"] for name in PIPELINES}
    monkeypatch.setattr(compiled, "load_pipeline", changed)
    write_resources(tmp_path)
    after = {name: documents(tmp_path, name)[1]["metadata"]["name"] for name in PIPELINES}
    assert not set(before.values()) & set(after.values())
    assert "namespace" not in documents(tmp_path, "evaluate_only")[0]["metadata"]
