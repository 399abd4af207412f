"""A compiled pipeline, run as KFP's driver and launcher run it: no real backend can run where these tests run.

The YAML alone decides. Its graph is walked (nested pipelines, conditions, loops, exit handlers, importers), inputs are
resolved from what the steps before handed out, placeholders are filled in, and every step is its own command in a clean
process. Left out are pods, and the copying of artifacts to and from an object store: they lie in one folder here.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Artifact = dict[str, Any]

_INPUT = re.compile(r"\{\{\$\.inputs\.parameters\['([^']+)'\]\}\}")
# What `dsl.If` and `dsl.Else` compile to: a parameter that equals a word, or that it does not.
_CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\] == '([^']*)'")


class TaskFailedError(Exception):
    """A step of the pipeline ended with another status than 0."""


@dataclass
class Values:
    """What a task is given, or hands out."""

    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[Artifact]] = field(default_factory=dict)


class Launcher:
    """Runs one compiled pipeline.

    Attributes:
        folder: where a task leaves its files, ``<task>/<artifact>``; each turn of a loop has a folder of its own.
        environment: what the processes of the steps are given.
        ended: the tasks that ran, in their order, by name.
    """

    def __init__(self, spec: Mapping[str, Any], folder: Path, environment: Mapping[str, str]) -> None:
        self._spec, self.folder = spec, folder
        # Only what an image and Kubernetes set; nothing of the process that tests.
        self.environment = {"PATH": os.environ["PATH"], "HOME": f"{folder}-home", **environment}
        self.ended: list[str] = []

    def run(self, parameters: Mapping[str, Any]) -> None:
        """Run the pipeline.

        Raises:
            TaskFailedError: a step failed; the exit handler has run all the same.
        """
        self._run_dag(self._spec["root"], Values(dict(parameters)), self.folder)

    def run_step(self, step: str, parameters: Mapping[str, Any]) -> Values:
        """Run one step that takes parameters alone.

        Raises:
            TaskFailedError: it failed.
        """
        task = {"componentRef": {"name": f"comp-{step}"}}
        return self._run_task(step, task, Values(dict(parameters)), self.folder)

    def _run_dag(self, component: Mapping[str, Any], given: Values, folder: Path) -> Values:
        inputs = Values(_defaults(component) | given.parameters, given.artifacts)
        tasks, done = component["dag"]["tasks"], dict[str, Values]()
        failure: TaskFailedError | None = None
        for name, task in _in_order(tasks):
            if failure and task.get("triggerPolicy", {}).get("strategy") != "ALL_UPSTREAM_TASKS_COMPLETED":
                continue
            if not _holds(task.get("triggerPolicy", {}).get("condition"), self._inputs(task, inputs, done, failure)):
                continue
            try:
                done[name] = self._run_task(name, task, self._inputs(task, inputs, done, failure), folder)
            except TaskFailedError as error:
                failure = error
        if failure:
            raise failure
        return _outputs(component["dag"].get("outputs", {}), done)

    def _run_task(self, name: str, task: Mapping[str, Any], given: Values, folder: Path) -> Values:
        component = self._spec["components"][task["componentRef"]["name"]]
        if "parameterIterator" in task:
            return self._run_loop(name, task["parameterIterator"], component, given, folder)
        if "dag" in component:
            return self._run_dag(component, given, folder)
        executor = self._spec["deploymentSpec"]["executors"][component["executorLabel"]]
        if "importer" in executor:
            uri = given.parameters[executor["importer"]["artifactUri"]["runtimeParameter"]]
            return Values({}, {"artifact": [_artifact("artifact", executor["importer"]["typeSchema"], uri)]})
        self.ended.append(name)
        return self._launch(name, component, executor["container"], given, folder / name)

    def _run_loop(
        self, name: str, iterator: Mapping[str, Any], component: Mapping[str, Any], given: Values, folder: Path
    ) -> Values:
        """Every item in turn; of each output a list."""
        total = Values()
        for number, item in enumerate(given.parameters[iterator["items"]["inputParameter"]]):
            one = Values(given.parameters | {iterator["itemInput"]: item}, given.artifacts)
            made = self._run_dag(component, one, folder / f"{name}-iteration-{number}")
            for key, value in made.parameters.items():
                total.parameters.setdefault(key, []).append(value)
            for key, artifacts in made.artifacts.items():
                total.artifacts.setdefault(key, []).extend(artifacts)
        return total

    def _inputs(
        self, task: Mapping[str, Any], inputs: Values, done: Mapping[str, Values], failure: Exception | None
    ) -> Values:
        wanted, given = task.get("inputs", {}), Values()
        for name, source in wanted.get("parameters", {}).items():
            if "componentInputParameter" in source:
                given.parameters[name] = inputs.parameters[source["componentInputParameter"]]
            elif "taskOutputParameter" in source:
                output = source["taskOutputParameter"]
                given.parameters[name] = done[output["producerTask"]].parameters[output["outputParameterKey"]]
            elif "taskFinalStatus" in source:
                given.parameters[name] = _final_status(source["taskFinalStatus"]["producerTask"], failure)
            else:
                given.parameters[name] = source["runtimeValue"]["constant"]
        for name, source in wanted.get("artifacts", {}).items():
            if "componentInputArtifact" in source:
                given.artifacts[name] = inputs.artifacts[source["componentInputArtifact"]]
            else:
                output = source["taskOutputArtifact"]
                given.artifacts[name] = done[output["producerTask"]].artifacts[output["outputArtifactKey"]]
        for name, value in given.parameters.items():
            if isinstance(value, str):
                filled = _INPUT.sub(lambda found: str(given.parameters[found[1]]), value)
                given.parameters[name] = filled.replace("{{$.pipeline_job_uuid}}", "run-1")
        return given

    def _launch(
        self, name: str, component: Mapping[str, Any], container: Mapping[str, Any], given: Values, folder: Path
    ) -> Values:
        """Run a step's own command with what KFP's launcher hands it, and read what it hands out."""
        folder.mkdir(parents=True)
        kinds = component.get("outputDefinitions", {}).get("artifacts", {})
        made = {key: [_artifact(key, kind["artifactType"], str(folder / key))] for key, kind in kinds.items()}
        parameters = _typed(component, _defaults(component) | given.parameters)
        written = folder / "executor_output.json"
        values = {
            "inputs": {"parameterValues": parameters, "artifacts": _lists(given.artifacts)},
            "outputs": {"artifacts": _lists(made), "outputFile": str(written)},
        }
        words = [word.replace("{{$}}", json.dumps(values)) for word in (*container["command"], *container["args"])]
        command = [word.replace("python3 ", f"{sys.executable} ") for word in words]
        ended = subprocess.run(
            command, env=self.environment, cwd=folder, capture_output=True, text=True, check=False, timeout=500
        )
        if ended.returncode:
            raise TaskFailedError(f"{name}: status {ended.returncode}\n{ended.stdout[-2000:]}\n{ended.stderr[-3000:]}")
        output = json.loads(written.read_text()) if written.exists() else {}
        for key, kept in output.get("artifacts", {}).items():
            made[key] = kept["artifacts"]
        return Values(output.get("parameterValues", {}), made)


def _in_order(tasks: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every task after those that it depends on."""
    waiting, over = dict(tasks), set[str]()
    while waiting:
        name = next(name for name, task in waiting.items() if over.issuperset(task.get("dependentTasks", [])))
        over.add(name)
        yield name, waiting.pop(name)


def _holds(condition: str | None, given: Values) -> bool:
    if condition is None:
        return True
    denied = condition.startswith("!(")
    found = _CONDITION.fullmatch(condition.removeprefix("!(").removesuffix(")") if denied else condition)
    assert found, f"a condition of another form: {condition}"
    return bool(given.parameters[found[1]] == found[2]) is not denied


def _outputs(wanted: Mapping[str, Any], done: Mapping[str, Values]) -> Values:
    """What a graph hands out of what its tasks did; of several that exclude each other, the one that ran."""
    made = Values()
    for name, source in wanted.get("parameters", {}).items():
        selectors = source.get("valueFromOneof", {}).get("parameterSelectors") or [source["valueFromParameter"]]
        for each in selectors:
            if each["producerSubtask"] in done:
                made.parameters[name] = done[each["producerSubtask"]].parameters[each["outputParameterKey"]]
    for name, source in wanted.get("artifacts", {}).items():
        for each in source["artifactSelectors"]:
            if each["producerSubtask"] in done:
                made.artifacts[name] = done[each["producerSubtask"]].artifacts[each["outputArtifactKey"]]
    return made


def _defaults(component: Mapping[str, Any]) -> dict[str, Any]:
    described = component.get("inputDefinitions", {}).get("parameters", {})
    return {name: each["defaultValue"] for name, each in described.items() if "defaultValue" in each}


def _typed(component: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Whole numbers as the launcher writes them; a task's configuration as the driver puts it in, here an empty one."""
    described = component.get("inputDefinitions", {}).get("parameters", {})
    kinds = {name: each["parameterType"] for name, each in described.items()}
    typed = {name: int(value) if kinds.get(name) == "NUMBER_INTEGER" else value for name, value in parameters.items()}
    return typed | {name: {} for name, kind in kinds.items() if kind == "TASK_CONFIG"}


def _final_status(task: str, failure: Exception | None) -> dict[str, Any]:
    status = {"pipelineJobResourceName": "run-1", "pipelineTaskName": task, "error": {}}
    if failure is None:
        return status | {"state": "SUCCEEDED"}
    return status | {"state": "FAILED", "error": {"code": 9, "message": str(failure)}}


def _artifact(name: str, kind: Mapping[str, Any], uri: str) -> Artifact:
    return {"name": name, "type": dict(kind), "uri": uri, "metadata": {}}


def _lists(artifacts: Mapping[str, list[Artifact]]) -> dict[str, Any]:
    return {name: {"artifacts": each} for name, each in artifacts.items()}
