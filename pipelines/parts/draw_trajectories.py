"""The trajectories, fanned out: a pipeline inside the pipelines.

It is one of its own because KFP's local runner finds the items of a loop only among the inputs of a pipeline.
"""

from typing import List  # noqa: UP035 (KFP reads it)

from kfp import dsl

from components.generate_trajectories.component import generate_trajectories
from pipelines.parts.placement import on_cluster, with_gpus


@dsl.pipeline(name="draw-trajectories")
def draw_trajectories(
    key: str,
    latents_key: str,
    shards: list,
    recipe: dsl.Input[dsl.Artifact],
    gpus_per_node: str,
    memory_per_node: str,
    workspace_claim: str,
) -> List[dsl.Dataset]:  # noqa: UP006
    """Draw every span of shards in a task of its own; returns what each of them drew."""
    with dsl.ParallelFor(shards, name="shards") as span:
        drawn = generate_trajectories(key=key, latents_key=latents_key, shards=span, recipe=recipe)
        on_cluster(workspace_claim, drawn)
        with_gpus(gpus_per_node, memory_per_node, drawn)
    return dsl.Collected(drawn.outputs["store"])
