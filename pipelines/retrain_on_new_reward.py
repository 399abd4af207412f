"""The pipeline that a new version of a reward model starts."""

from kfp import dsl

from components.report_retraining.component import report_retraining
from pipelines.cluster import on_cluster
from pipelines.train_and_deploy import train_and_deploy


@dsl.pipeline(name="retrain-on-new-reward", display_name="RATS: train again with a new version of a reward model")
def retrain_on_new_reward(
    reward: str,
    recipe: str = "emoji",
    overrides: list = [],  # noqa: B006 (KFP reads the default only)
    force: str = "",
    nodes: int = 1,
    gpus_per_node: str = "0",
    memory_per_node: str = "16Gi",
    workspace_claim: str = "rats-workspace",
) -> None:
    """Train again, judge and, where the new student earned it, serve it, because a reward model has a new version.

    1. Runs train_and_deploy with the recipe, which now names the new version of the reward.
    2. However that ended, notes it on the reward's version in MLflow.

    Args:
        reward: the version that started this, such as hpsv2@3.
        recipe: name of a packaged recipe, or path of a YAML file that every step can read.
        overrides: changes to the recipe; the trigger puts the new version of the reward here.
        force: any word that was not used before, such as a date, does all the work again; empty reuses what is done.
        nodes: how many nodes of a cluster train together; training.world_size is spread over them.
        gpus_per_node: GPUs of each training node, and of the steps that draw and judge; "0" for none.
        memory_per_node: memory limit of each of them, such as "64Gi".
        workspace_claim: the ReadWriteMany volume claim that holds all work; what the new reward leaves as it is, the
            teacher's trajectories above all, is found there.
    """
    ended = report_retraining(reward=reward, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    with dsl.ExitHandler(ended, name="retraining"):
        train_and_deploy(
            recipe=recipe,
            overrides=overrides,
            force=force,
            nodes=nodes,
            gpus_per_node=gpus_per_node,
            memory_per_node=memory_per_node,
            workspace_claim=workspace_claim,
        )
    on_cluster(workspace_claim, ended)
