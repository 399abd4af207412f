"""A step of the compiled YAML, run as KFP's launcher runs it: its own command, in a clean process, from JSON alone.

What the launcher does around it (downloading and uploading artifacts) is left out: the artifacts lie in a folder here.
"""

import json
import os
import subprocess
import sys

import pytest
import yaml

from components.shared.code import ROOT
from components.shared.keys import STEPS, step_keys
from pipelines.compiled import compile_pipeline
from rats_train.config import load_recipe


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return next(yaml.safe_load_all(compile_pipeline(tmp_path_factory.mktemp("yaml") / "pipeline.yaml").read_text()))


@pytest.fixture
def launch(spec, tmp_path):
    """A function that runs a step with parameters and returns its output parameters and the folder of its artifacts."""

    def run(step, parameters):
        component = spec["components"][f"comp-{step}"]
        outputs = component.get("outputDefinitions", {})
        artifacts = {
            name: {"artifacts": [{"name": name, "type": kind["artifactType"], "uri": str(tmp_path / name)}]}
            for name, kind in outputs.get("artifacts", {}).items()
        }
        files = {name: {"outputFile": str(tmp_path / f"{name}.txt")} for name in outputs.get("parameters", {})}
        written = tmp_path / "executor_output.json"
        values = {
            "inputs": {"parameterValues": parameters, "parameters": parameters},
            "outputs": {"artifacts": artifacts, "parameters": files, "outputFile": str(written)},
        }
        container = spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]
        # Only what the image sets; nothing of the process that tests.
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "RATS_WORKSPACE": str(tmp_path / "work")}
        words = [*container["command"], *container["args"]]
        resolved = [word.replace("{{$}}", json.dumps(values)).replace("python3", sys.executable) for word in words]
        done = subprocess.run(resolved, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(written.read_text()).get("parameterValues", {}), tmp_path

    return run


def test_the_first_step_hands_out_what_the_local_run_hands_out(launch):
    overrides = ["training.steps=7"]
    keys, folder = launch("prepare", {"recipe": "emoji", "overrides": overrides, "force": ""})
    expected = load_recipe("emoji", overrides)
    assert keys == step_keys(expected)
    assert tuple(keys) == STEPS
    assert load_recipe(str(folder / "resolved")) == expected
