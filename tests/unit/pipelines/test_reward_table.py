"""What `rats plan` says of rewards: what each declares, and who would drown whom."""

import pytest
from rich.console import Console

from pipelines.forecast.reward_table import rewards_view
from rats_train.config import load_recipe
from rats_train.recipe_rewards import RewardSpec, Statistics

PICK = RewardSpec(name="pick", kind="pickscore", path="none")
HPS = RewardSpec(name="hps", kind="hpsv2", path="none")


@pytest.fixture
def shown():
    """What is shown of a recipe that trains on these rewards."""

    def view(*trained):
        recipe = load_recipe("emoji")
        heldout = [RewardSpec(name="safe", kind="nsfw")]
        rewards = recipe.rewards.model_copy(update={"train": list(trained), "heldout": heldout})
        console = Console(width=200)
        with console.capture() as capture:
            console.print(rewards_view(recipe.model_copy(update={"rewards": rewards})))
        return capture.get()

    return view


def test_each_reward_shows_what_its_kind_declares(shown):
    lines = [line.split() for line in shown(HPS).splitlines()]
    assert ["hps", "train", "hpsv2", "image,", "prompt", "yes", "-1", "to", "1", "0.02", "64"] in lines
    assert ["safe", "judge", "nsfw", "image", "no", "0", "to", "1", "0.1", "64"] in lines


def test_a_reward_that_drowns_another_is_named_with_the_cure(shown):
    assert "pick usually varies 75 times as much in the sum as hps" in shown(HPS, PICK)
    assert "usually varies" not in shown(HPS)
    assert "usually varies" not in shown(HPS, PICK.model_copy(update={"weight": 0.02}))
    scaled = [spec.model_copy(update={"statistics": Statistics(mean=0, std=1)}) for spec in (HPS, PICK)]
    assert "usually varies" not in shown(*scaled)
