"""A remote reward over real HTTP has the numbers of the local one."""

from pathlib import Path

import pytest
import torch

from rats_train.recipe_rewards import RewardSpec, Statistics
from rats_train.rewards.base import Reward
from rats_train.rewards.build import load_reward
from rats_train.rewards.digest import reward_digest
from rats_train.rewards.remote.client import RewardClient
from rats_train.rewards.remote.reward import RemoteReward
from tests.reward_servers import served
from tests.tiny_rewards import PROMPTS, aesthetic_dir, image_reward_dir, noise


def scored(reward: Reward) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, and the gradient of a sum in which every picture weighs differently."""
    images = noise().requires_grad_()
    score = reward.score(images, PROMPTS)
    return score.detach(), torch.autograd.grad((score * torch.tensor([1.0, -2.0, 0.5])).sum(), images)[0]


@pytest.mark.parametrize("kind", ["clip", "hpsv2", "pickscore", "aesthetic", "image_reward"])
@pytest.mark.parametrize("statistics", [None, Statistics(mean=0.2, std=0.1)])
def test_score_and_gradient_are_those_of_the_local_reward(
    tiny_reward_dir: Path, tmp_path: Path, kind: str, statistics: Statistics | None
) -> None:
    path = tiny_reward_dir
    if kind == "aesthetic":
        path = aesthetic_dir(tmp_path / kind, path)
    if kind == "image_reward":
        path = image_reward_dir(tmp_path / kind)
    here = RewardSpec(name="tiny", kind=kind, path=str(path))
    with served(here) as url:
        score, gradient = scored(load_reward(RewardSpec(name="tiny", path=url, statistics=statistics)))
        assert reward_digest(RewardSpec(name="other", path=url)) == reward_digest(here)
    expected, slope = scored(load_reward(here.model_copy(update={"statistics": statistics})))
    assert torch.equal(score, expected)
    assert (gradient - slope).abs().max() <= 1e-6
    # Scaled by powers of two the gradient has the very bits; else it is rounded at the end, not all the way.
    assert (gradient - slope).norm() <= (3e-6 if statistics else 0) * slope.norm()


def test_nothing_is_asked_of_the_server_on_the_way_back(spec: RewardSpec) -> None:
    images = noise().requires_grad_()
    with served(spec) as url:
        score = RemoteReward(url, "tiny").score(images, PROMPTS)
    score.sum().backward()
    assert (images.grad != 0).any()


def test_gradient_is_asked_for_only_where_it_is_needed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    ask = RewardClient.ask
    monkeypatch.setattr(
        RewardClient, "ask", lambda *words, gradient: asked.append(gradient) or ask(*words, gradient=gradient)
    )
    remote = RemoteReward(url, "tiny")
    remote.score(noise(), PROMPTS)
    with torch.no_grad():
        remote.score(noise().requires_grad_(), PROMPTS)
    remote.score(noise().requires_grad_(), PROMPTS)
    assert asked == [False, False, True]


def test_many_pictures_go_in_requests_that_fit(spec: RewardSpec, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    ask = RewardClient.ask
    monkeypatch.setattr(
        RewardClient,
        "ask",
        lambda self, path, body, rows, **way: sizes.append((rows, len(body))) or ask(self, path, body, rows, **way),
    )
    remote = RemoteReward(url, "tiny")
    remote._max_body = 2 * 3 * 64 * 64 * 4 * 8 // 7
    images, prompts = noise(5), [*PROMPTS, *PROMPTS[:2]]
    torch.testing.assert_close(remote.score(images, prompts), load_reward(spec).score(images, prompts))
    assert [rows for rows, _ in sizes] == [2, 2, 1]
    assert all(size <= remote._max_body for _, size in sizes)


def test_a_reward_without_bounds_has_none_from_afar(tmp_path: Path) -> None:
    with served(RewardSpec(name="ir", kind="image_reward", path=str(image_reward_dir(tmp_path / "i")))) as url:
        traits = RemoteReward(url, "ir").traits
    assert (traits.low, traits.high) == (-float("inf"), float("inf"))


def test_a_server_declares_the_range_that_its_statistics_make() -> None:
    rules = RewardSpec(name="rules", kind="verifier", statistics=Statistics(mean=0.5, std=0.25))
    with served(rules) as url:
        remote = RemoteReward(url, "rules")
        assert (remote.traits.low, remote.traits.high, remote.traits.usual_scale) == (-2, 2, 1)
        assert remote.score(noise(), PROMPTS).tolist() == [-2, -2, -2]


def test_features_are_those_of_the_local_reward(spec: RewardSpec, url: str) -> None:
    assert torch.equal(RemoteReward(url, "tiny").image_features(noise()), load_reward(spec).image_features(noise()))
