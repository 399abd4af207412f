import pytest
import torch

from rats_train.evaluation import metrics
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.build import load_reward
from rats_train.rewards.clip import ClipReward
from rats_train.world.renderer import render
from rats_train.world.scene import Scene


@pytest.fixture(scope="module")
def reward(tiny_reward_dir):
    return ClipReward(tiny_reward_dir, "tiny")


def plain(level):
    return torch.full((3, 8, 8), level, dtype=torch.uint8)


def test_pixel_diversity_is_the_mean_distance_of_pairs():
    images = torch.stack([plain(0), plain(51), plain(255), plain(9), plain(9), plain(9)])
    assert metrics.pixel_diversity(images, 3).tolist() == pytest.approx([(0.2 + 0.8 + 1.0) / 3, 0], abs=1e-6)


def test_feature_diversity_is_zero_for_equal_pictures_and_grows_with_difference(reward):
    noise = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = torch.stack([noise[0], noise[0], noise[0], noise[1]])
    same, different = metrics.feature_diversity(metrics.features(reward, images, batch_size=3), 2).tolist()
    assert same == pytest.approx(0, abs=1e-6)
    assert different > 1e-4


def test_the_first_reward_with_features_tells_pictures_apart(reward):
    rules = load_reward(RewardSpec(name="rules", kind="verifier"))
    assert metrics.encoder([rules, reward]) is reward
    assert metrics.encoder([rules]) is None


def test_rewards_do_not_depend_on_the_batch(reward):
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    prompts = ["one fox", "two owls", "a frog", "a cat", "a dog"]
    whole = metrics.reward_values(reward, images, prompts, batch_size=5)
    assert metrics.reward_values(reward, images, prompts, batch_size=2).tolist() == pytest.approx(
        whole.tolist(), abs=1e-6
    )
    assert whole.tolist() == pytest.approx(reward.score(images / 255, prompts).tolist(), abs=1e-6)


def test_verifier_judges_each_picture_by_its_own_prompt():
    scene = Scene("noto", "blue", (("fox", (32, 32, 44)),))
    picture = torch.from_numpy(render(scene)).permute(2, 0, 1)
    prompts = ["a fox, blue background", "an owl", "two foxes"]
    assert metrics.verified(picture.expand(3, -1, -1, -1), prompts).tolist() == [1, 0, 0]


def test_prompts_of_another_world_cannot_be_verified():
    assert metrics.can_verify(["a fox", "two owls"])
    assert not metrics.can_verify(["a fox", "a castle in the rain"])


def test_likeness_is_to_the_nearest_right_scene_and_falls_with_every_fault():
    scene = Scene("noto", "blue", (("fox", (16, 32, 28)), ("owl", (48, 32, 28))))
    real = torch.from_numpy(render(scene)).permute(2, 0, 1)
    noisy = (real.float() + 10 * torch.randn(real.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    images = torch.stack([real, real, real, noisy.round().to(torch.uint8)])
    prompts = ["a fox and an owl", "an owl left of a fox", "a fox", "a fox left of an owl"]
    same, swapped, other, rough = metrics.scene_likeness(images, prompts).tolist()
    assert same == pytest.approx(60)
    assert rough == pytest.approx(28.1, abs=1.0)  # 20 log10(255 / 10), a little more where clamped
    assert swapped < 20
    assert other < 20
