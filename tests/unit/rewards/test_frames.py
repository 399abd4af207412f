"""A reward over the frames of a video."""

from pathlib import Path

import torch

from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.build import load_rewards
from rats_train.rewards.clip import ClipReward

PROMPTS = ["two owls", "one fox"]


def test_a_video_scores_the_mean_of_its_frames_with_gradient_to_each(tiny_reward_dir: Path) -> None:
    (reward,) = load_rewards([RewardSpec(name="tiny", path=str(tiny_reward_dir))])
    video = torch.rand(2, 3, 3, 64, 64, requires_grad=True)
    plain = ClipReward(tiny_reward_dir, "tiny")
    frames = torch.stack([plain.score(video[:, frame], PROMPTS) for frame in range(3)])
    score = reward.score(video, PROMPTS)
    torch.testing.assert_close(score, frames.mean(dim=0))
    score.sum().backward()
    assert (video.grad.abs().amax(dim=(2, 3, 4)) > 0).all()


def test_features_of_a_video_have_length_one_and_those_of_a_still_are_its_frames(tiny_reward_dir: Path) -> None:
    (reward,) = load_rewards([RewardSpec(name="tiny", path=str(tiny_reward_dir))])
    still = torch.rand(2, 3, 64, 64)
    features = reward.image_features(still)
    torch.testing.assert_close(reward.image_features(still[:, None].expand(-1, 4, -1, -1, -1)), features)
    torch.testing.assert_close(reward.image_features(torch.rand(2, 4, 3, 64, 64)).norm(dim=-1), torch.ones(2))
