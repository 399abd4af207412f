"""The method and the reward that docs/extending.md shows are run as they stand there, from packages of their own."""

import dataclasses
import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from components.shared.keys import step_keys
from rats_train import recipe_methods
from rats_train.config import Recipe, load_recipe
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import read_lines
from rats_train.engine.train import train
from rats_train.errors import UserError
from rats_train.evaluation.judges import Judges
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.base import Extras
from rats_train.rewards.build import load_reward
from rats_train.rewards.check_recipe import check_rewards
from rats_train.rewards.digest import reward_digest
from rats_train.rewards.plugged import plugged_reward
from rats_train.trajectories.generate import generate
from tests.integration.conftest import changed, with_method

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
METHOD, REWARD = PAGE.split("\n# A reward of your own\n")


def block(part: str, language: str) -> str:
    """The one code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", part, re.DOTALL)
    return found


@contextmanager
def package(name: str, part: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the page shows as an installed package: a module, and metadata with the entry point that the page names."""
    (folder / f"{name}.py").write_text(block(part, "python"))
    metadata = folder / f"{name}-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    header, line = block(part, "toml").strip().replace('"', "").splitlines()
    group = header.removeprefix("[project.entry-points.")
    (metadata / "entry_points.txt").write_text(f"[{group}\n{line}\n")
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    for found in (recipe_methods.plugged_method, plugged_reward):
        found.cache_clear()
    yield
    for found in (recipe_methods.plugged_method, plugged_reward):
        found.cache_clear()
    sys.modules.pop(name, None)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with package("my_methods", METHOD, tmp_path, monkeypatch):
        yield


@pytest.fixture
def spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RewardSpec]:
    with package("my_rewards", REWARD, tmp_path, monkeypatch):
        yield RewardSpec(name="spread", kind="spread", weight=0.1)


def test_a_method_is_at_most_60_lines() -> None:
    assert len(block(METHOD, "python").splitlines()) <= 60


def test_the_shown_method_trains(installed: None, tiny_recipe: Recipe, ranks: Ranks, tmp_path: Path) -> None:
    recipe = with_method(changed(tiny_recipe, "training", steps=3, checkpoint_every=3), "held_reward", hold=0.5)
    train(recipe, None, tmp_path / "run", ranks)
    lines = read_lines(tmp_path / "run" / "metrics.jsonl")
    for line in lines:
        assert line["loss"] == pytest.approx(0.5 * line["distance"] - line["reward_student"], abs=1e-6)
        assert line["grad_norm"] > 0
    assert lines[-1]["distance"] > 0
    assert (tmp_path / "run" / "student" / "transformer").is_dir()


def test_its_keys_are_checked_like_ours(installed: None) -> None:
    assert load_recipe("emoji", ["method.name=held_reward", "method.hold=2"]).method.model_dump() == {
        "name": "held_reward",
        "hold": 2,
    }
    with pytest.raises(UserError, match=r"unknown key method\.hodl; did you mean hold\?"):
        load_recipe("emoji", ["method.name=held_reward", "method.hodl=2"])
    with pytest.raises(UserError, match="method held_reward goes back through the gradient of every reward"):
        load_recipe("emoji", ["method.name=held_reward", "rewards.train=[{name: rules, kind: verifier}]"])


def test_another_source_is_another_training(installed: None, tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = with_method(tiny_recipe, "held_reward")
    before = step_keys(recipe)
    source = tmp_path / "my_methods.py"
    source.write_text(source.read_text() + "# changed\n")
    assert step_keys(recipe)["train_student"] != before["train_student"]
    assert step_keys(recipe)["generate_trajectories"] == before["generate_trajectories"]


def test_a_method_that_is_not_installed_is_one_line() -> None:
    with pytest.raises(UserError, match=r"method\.name is 'held_reward'; it must be one of rats, .*, rtdmd\.$"):
        load_recipe("emoji", ["method.name=held_reward"])


def test_the_shown_reward_compares_the_latents_of_a_prompts_pictures(spread: RewardSpec) -> None:
    reward = load_reward(spread)
    images, prompts = torch.rand(4, 3, 8, 8), ["a fox", "a fox", "two owls", "a fox"]
    latents = torch.tensor([0.0, 1.0, 7.0, 3.0]).view(4, 1, 1, 1).expand(4, 2, 3, 3).clone().requires_grad_()
    score = reward.score(images, prompts, Extras(latents))
    assert score.tolist() == [5.0, 2.5, 0.0, 6.5]
    score.sum().backward()
    assert (latents.grad[[0, 1, 3]] != 0).all()
    with pytest.raises(UserError, match=r"^Reward spread reads latents, and there are none where it was asked"):
        reward.score(images, prompts)
    # A batch of three would cut the group.
    reward.traits = dataclasses.replace(reward.traits, batch_size=3)
    assert torch.equal(reward.score(images, prompts, Extras(latents)), score)


def test_the_shown_reward_trains_in_groups_and_judges_nothing(
    spread: RewardSpec, tiny_recipe: Recipe, ranks: Ranks, tmp_path: Path
) -> None:
    recipe = changed(tiny_recipe, "training", steps=1, checkpoint_every=1)
    rewards = recipe.rewards.model_copy(update={"train": [*recipe.rewards.train, spread]})
    recipe = with_method(recipe.model_copy(update={"rewards": rewards}), "grpo", group_size=3)
    seen: list[torch.Tensor] = []
    values = plugged_reward("spread")._values
    plugged_reward("spread")._values = lambda *given: seen.append(values(*given)) or seen[-1]
    train(recipe, generate(recipe, tmp_path / "store"), tmp_path / "run", ranks)
    assert any((scores > 0).all() for scores in seen)
    judges = Judges(recipe, ["a fox", "a fox"])
    assert "spread" not in judges.kinds
    assert recipe.rewards.train[0].name in judges.kinds


def test_a_reward_that_reads_latents_cannot_be_held_out(spread: RewardSpec, tiny_recipe: Recipe) -> None:
    rewards = tiny_recipe.rewards.model_copy(update={"heldout": [spread]})
    with pytest.raises(UserError, match=r"^Reward spread reads latents, and what is judged are pictures"):
        check_rewards(tiny_recipe.model_copy(update={"rewards": rewards}))


def test_its_source_is_part_of_its_digest(spread: RewardSpec, tmp_path: Path) -> None:
    before = reward_digest(spread)
    with (tmp_path / "my_rewards.py").open("a") as source:
        source.write("# changed\n")
    assert reward_digest(spread) != before


def test_a_kind_that_nobody_brings_is_answered_with_the_nearest(spread: RewardSpec) -> None:
    with pytest.raises(ValueError, match="there is no kind spred of reward; perhaps spread is meant"):
        RewardSpec(name="s", kind="spred")
