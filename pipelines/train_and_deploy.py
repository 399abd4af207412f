"""The pipeline: from a slow teacher to a served few-step student. One object, for a laptop and for a cluster."""

from kfp import dsl

from pipelines.parts.ending import reported_end
from pipelines.parts.parameters import described
from pipelines.parts.train_judge_and_deploy import train_judge_and_deploy


@dsl.pipeline(name="train-and-deploy", display_name="RATS: train a few-step student and deploy it")
@described()
def train_and_deploy(
    recipe: str = "emoji",
    overrides: list = [],  # noqa: B006 (KFP reads the default only)
    force: str = "",
    trajectory_tasks: int = 4,
    nodes: int = 1,
    gpus_per_node: str = "0",
    memory_per_node: str = "16Gi",
    workspace_claim: str = "rats-workspace",
) -> None:
    """Turn a 50-step teacher into a student of a few steps, and serve it if it earned that.

    1. Prepares: resolves the recipe and computes the content key of every step.
    2. Generates the teacher's trajectories, once, in several tasks.
    3. Trains the student with RATS.
    4. Evaluates student and teacher on held-out prompts, and enters the result into MLflow.
    5. Decides on promotion, against the champion and the full teacher, on what neither student was trained on.
    6. If promoted, packages and signs the student; otherwise the champion stays.
    7. Serves the package with the real server, and compares its pixels with stock diffusers.
    8. Makes it the champion.
    9. Reports.
    10. However all that ended, says so in MLflow.

    The last four parameters say nothing to a laptop, where every step takes what there is.
    """
    with dsl.ExitHandler(reported_end(recipe, workspace_claim), name="steps"):
        train_judge_and_deploy(
            recipe, overrides, force, trajectory_tasks, nodes, gpus_per_node, memory_per_node, workspace_claim
        )
