"""What rewards may read beside pictures and prompts, and scores that depend on the rest of a group."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rats_train.config import load_recipe
from rats_train.errors import UserError
from rats_train.evaluation.metrics import judging, reward_values
from rats_train.prompt_metadata import prompt_metadata
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.base import Extras, Reward, Traits
from rats_train.rewards.frames import FrameReward
from rats_train.rewards.remote.reward import RemoteReward
from tests.reward_servers import served
from tests.tiny_rewards import noise

PROMPTS = ["a photo of a bench", "a photo of two clocks", "a photo of a bench"]
COUNTS = {"a photo of a bench": 1, "a photo of two clocks": 2}
ANY = RewardSpec(name="rules", kind="verifier")
"""Stands behind the digest of what these tests serve."""


class Counted(Reward):
    """How many objects the prompt's row asks for, and the mean of the latents."""

    traits = Traits(
        differentiable=False, low=0.0, high=10.0, inputs=frozenset({"latents", "metadata"}), batch_size=2
    )  # fmt: skip

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        counts = [sum(one["count"] for one in row["include"]) for row in extras.metadata]
        return torch.tensor(counts).float() + extras.latents.flatten(1).mean(dim=1)


class Shared(Reward):
    """How many pictures of the batch have the same prompt."""

    traits = Traits(differentiable=True, low=1.0, high=100.0, pointwise=False, batch_size=2)

    def _values(self, images: Tensor, prompts: Sequence[str], extras: Extras) -> Tensor:
        return torch.tensor([float(list(prompts).count(prompt)) for prompt in prompts]) + 0 * images.mean(dim=(1, 2, 3))


@pytest.fixture
def known(tmp_path: Path) -> dict:
    """What a recipe knows of the prompts of a GenEval file."""
    rows = [{"tag": "t", "prompt": text, "include": [{"count": count}]} for text, count in COUNTS.items()]
    (tmp_path / "geneval.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return prompt_metadata(load_recipe("emoji", [f"evaluation.prompts={tmp_path / 'geneval.jsonl'}"]))


def test_the_row_of_a_prompt_file_reaches_the_reward_that_reads_it(known: dict) -> None:
    reward = FrameReward(Counted("mine"), known)
    latents = Extras(torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1))
    torch.testing.assert_close(reward.score(noise(), PROMPTS, latents), torch.tensor([1.1, 2.2, 1.3]))
    video = noise()[:, None].expand(-1, 4, -1, -1, -1)
    torch.testing.assert_close(reward.score(video, PROMPTS, latents), torch.tensor([1.1, 2.2, 1.3]))


def test_what_is_missing_or_does_not_fit_is_one_line(known: dict) -> None:
    latents = Extras(torch.zeros(3, 1))
    with pytest.raises(UserError, match=r"^Reward mine reads metadata, and there are none [^\n]*$"):
        FrameReward(Counted("mine"), known).score(noise(), ["unknown", *PROMPTS[:2]], latents)
    with pytest.raises(UserError, match=r"^Reward mine reads latents, and there are none [^\n]*$"):
        FrameReward(Counted("mine"), known).score(noise(), PROMPTS)
    with pytest.raises(UserError, match=r"^Reward mine got latents of 2 for 3 pictures[^\n]*$"):
        FrameReward(Counted("mine"), known).score(noise(), PROMPTS, Extras(torch.zeros(2, 1)))


def test_the_prompts_of_plain_lists_have_no_metadata(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("a fox\n")
    assert prompt_metadata(load_recipe("emoji", [f"evaluation.prompts={tmp_path / 'own.txt'}"])) == {}


def test_a_served_reward_gets_all_that_it_reads(known: dict) -> None:
    with served(ANY, reward=Counted("mine")) as url:
        remote = RemoteReward(url, "mine")
        assert remote.traits.inputs == Counted.traits.inputs
        latents = Extras(torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1))
        found = FrameReward(remote, known).score(noise(), PROMPTS, latents)
        with pytest.raises(UserError, match="Reward mine reads latents, and there are none"):
            FrameReward(remote, known).score(noise(), PROMPTS)
    torch.testing.assert_close(found, torch.tensor([1.1, 2.2, 1.3]))


def test_groups_stay_whole_here_from_afar_and_in_an_evaluation() -> None:
    assert Shared("mine").score(noise(), PROMPTS).tolist() == [2, 1, 2]
    with served(ANY, reward=Shared("mine")) as url:
        remote = RemoteReward(url, "mine")
        # The gradient of the sum would be that of the group, not of each picture.
        assert (remote.traits.pointwise, remote.traits.differentiable) == (False, False)
        assert remote.score(noise(), PROMPTS).tolist() == [2, 1, 2]
    drawn = (255 * noise(5)).to(torch.uint8)
    prompts = ["a fox", "a fox", "a fox", "two owls", "two owls"]
    assert reward_values(Shared("mine"), drawn, prompts, batch_size=2).tolist() == [3, 3, 3, 2, 2]


def test_what_reads_latents_judges_no_pictures() -> None:
    assert [reward.name for reward in judging([Counted("a"), Shared("b")])] == ["b"]


def test_values_outside_the_declared_range_are_refused() -> None:
    class Broken(Shared):
        traits = Traits(differentiable=True, low=0.0, high=1.5, pointwise=False)

    with pytest.raises(
        UserError, match=r"^Reward mine is 2 for the prompt .* and its kind declares values from 0 to 1.5"
    ):
        Broken("mine").score(noise(), PROMPTS)
