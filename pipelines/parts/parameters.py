"""What the parameters mean that several pipelines have; KFP's form shows it beside each field.

KFP reads a parameter's description from the docstring of the pipeline's function, so that is where it is written.
"""

import inspect
from collections.abc import Callable
from typing import Any

SHARED = {
    "recipe": "name of a packaged recipe, or path of a YAML file that every step can read.",
    "overrides": 'changes to the recipe, such as ["training.steps=20"].',
    "force": "any word that was not used before, such as a date, does all the work again; empty reuses what is done.",
    "trajectory_tasks": "how many tasks draw the teacher's trajectories side by side, at most one a shard.",
    "nodes": "how many nodes of a cluster train together; training.world_size is spread over them.",
    "gpus_per_node": 'GPUs of each training node, and of the steps that draw and judge; "0" for none.',
    "memory_per_node": 'memory limit of each of them, such as "64Gi".',
    "workspace_claim": "the ReadWriteMany claim that holds all work; equal content is never computed twice on it.",
}

Pipeline = Callable[..., Any]


def described(**own: str) -> Callable[[Pipeline], Pipeline]:
    """Write the section ``Args`` of a pipeline's docstring: its ``own`` descriptions, and the shared ones for the rest.

    Raises:
        KeyError: a parameter has neither.
    """

    def describe(pipeline: Pipeline) -> Pipeline:
        names = inspect.signature(pipeline).parameters
        lines = [f"    {name}: {(SHARED | own)[name]}" for name in names]
        pipeline.__doc__ = "\n".join([inspect.getdoc(pipeline) or "", "", "Args:", *lines])
        return pipeline

    return describe
