"""The pipeline that a new version of a reward model starts."""

from kfp import dsl

from pipelines.train_and_deploy import train_and_deploy


@dsl.pipeline(name="retrain-on-new-reward", display_name="RATS: train again with a new version of a reward model")
def retrain_on_new_reward(reward: str, recipe: str = "emoji", overrides: list = []) -> None:  # noqa: B006 (KFP reads it)
    """Train again, judge and, where the new student earned it, serve it, because a reward model has a new version.

    1. Runs train_and_deploy with the recipe, which now names the new version of the reward.

    Args:
        reward: the version that started this, such as hpsv2@3; for people who look at the run.
        recipe: name of a packaged recipe, or path of a YAML file that every step can read.
        overrides: changes to the recipe; the trigger puts the new version of the reward here.
    """
    train_and_deploy(recipe=recipe, overrides=overrides)
