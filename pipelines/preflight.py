"""What a compiled pipeline must not hold, because the local runner or the backend would do something else than it says.

Each rule was learned from a run that went wrong without an error.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rats_train.errors import UserError

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_LITERAL = re.compile(r"[=!<>]=?\s*'([^']*)'")
_TOKEN = re.compile(r"[\w.-]*")


def check_pipeline(spec: Mapping[str, Any]) -> None:
    """Refuse a pipeline spec that holds one of the traps.

    Args:
        spec: first document of the compiled YAML.

    Raises:
        UserError: it does; every trap is named with the way out.
    """
    found = list(_traps(spec))
    if found:
        raise UserError(f"Pipeline {spec['pipelineInfo']['name']} would not run as written: {'; '.join(found)}.")


def _traps(spec: Mapping[str, Any]) -> Iterator[str]:
    for name, executor in spec["deploymentSpec"]["executors"].items():
        yield from _executor_traps(name.removeprefix("exec-"), executor)
    for component in [spec["root"], *(each for each in spec["components"].values() if "dag" in each)]:
        dag, given = component["dag"], component.get("inputDefinitions", {}).get("parameters", {})
        for name, task in dag["tasks"].items():
            yield from _task_traps(name, task, given)
        for name, output in dag.get("outputs", {}).get("artifacts", {}).items():
            if len(output.get("artifactSelectors", [])) > 1:
                yield f"{name} is one of several artifacts, which the local runner cannot choose: hand on a parameter"


def _executor_traps(name: str, executor: Mapping[str, Any]) -> Iterator[str]:
    container = executor.get("container")
    if container is None:
        return
    if not _DIGEST.search(container["image"]):
        yield f"{name} names its image without a digest, so that KFP's cache cannot tell code apart"
    if any("pip install" in part for part in container.get("command", [])):
        yield f"{name} installs packages while it runs: put them into the image"


def _task_traps(name: str, task: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    for source in task.get("inputs", {}).get("parameters", {}).values():
        asked = source.get("componentInputParameter")
        if asked is not None and asked not in given:
            yield f"{name} asks for {asked}, which KFP does not hand down to it: register the channel with the task"
    for literal in _LITERAL.findall(task.get("triggerPolicy", {}).get("condition", "")):
        if not _TOKEN.fullmatch(literal):
            yield f'{name} compares with "{literal}", which the local runner reads as code: compare with a bare word'
    if "retryPolicy" in task:
        yield f"{name} is retried whatever its status, a mistake in the recipe too: retry inside the step"
