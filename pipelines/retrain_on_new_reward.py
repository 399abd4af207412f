"""The pipeline that a new version of a reward model starts."""

from kfp import dsl

from pipelines.parts.ending import reported_end
from pipelines.parts.parameters import described
from pipelines.parts.train_judge_and_deploy import train_judge_and_deploy


@dsl.pipeline(name="retrain-on-new-reward", display_name="RATS: train again with a new version of a reward model")
@described(
    reward="the version that started this, such as hpsv2@3.",
    overrides="changes to the recipe; the trigger puts the new version of the reward here.",
)
def retrain_on_new_reward(
    reward: str,
    recipe: str = "emoji",
    overrides: list = [],  # noqa: B006 (KFP reads the default only)
    force: str = "",
    trajectory_tasks: int = 4,
    nodes: int = 1,
    gpus_per_node: str = "0",
    memory_per_node: str = "16Gi",
    workspace_claim: str = "rats-workspace",
) -> None:
    """Train again, judge and, where the new student earned it, serve it, because a reward model has a new version.

    1. Does steps 1 to 9 of train_and_deploy with the recipe, which now names the new version of the reward. What that
       leaves as it is, the teacher's trajectories above all, is found on the workspace.
    2. However that ended, says so in MLflow, on the reward's version too.
    """
    with dsl.ExitHandler(reported_end(recipe, workspace_claim, reward=reward), name="steps"):
        train_judge_and_deploy(
            recipe, overrides, force, trajectory_tasks, nodes, gpus_per_node, memory_per_node, workspace_claim
        )
