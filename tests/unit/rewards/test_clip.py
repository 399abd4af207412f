"""CLIP-type rewards: gradient, preprocessing, and one clear line for what is broken."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from rats_train.errors import UserError
from rats_train.files import write_json
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.build import combine, load_rewards
from rats_train.rewards.clip import ClipReward

PROMPTS = ["two owls", "one fox"]


@pytest.fixture(scope="module")
def reward(tiny_reward_dir: Path) -> ClipReward:
    return ClipReward(tiny_reward_dir, "tiny")


def test_score_is_the_cosine_of_the_stock_features(reward: ClipReward, tiny_reward_dir: Path) -> None:
    model, tokenizer = CLIPModel.from_pretrained(tiny_reward_dir), CLIPTokenizer.from_pretrained(tiny_reward_dir)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    processor = CLIPImageProcessorPil(
        image_mean=[0.5, 0.4, 0.3], image_std=[0.3, 0.2, 0.1], do_resize=False, do_center_crop=False
    )
    inputs = processor([Image.fromarray(picture) for picture in pixels], return_tensors="pt")
    text = tokenizer(PROMPTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = (model(**inputs, **text).logits_per_image / model.logit_scale.exp()).diagonal()
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(reward.score(images, PROMPTS), expected)


def test_gradient_reaches_every_pixel_and_no_weight(reward: ClipReward) -> None:
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    reward.score(images, PROMPTS).sum().backward()
    assert images.grad is not None
    assert (images.grad != 0).float().mean() > 0.99
    assert not any(weight.requires_grad for weight in reward._model.parameters())


def test_climbing_the_gradient_raises_the_reward(reward: ClipReward) -> None:
    images = (0.1 + 0.8 * torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    before = reward.score(images, PROMPTS)
    (gradient,) = torch.autograd.grad(before.sum(), images)
    after = reward.score(images + 0.01 * gradient / gradient.abs().max(), PROMPTS)
    assert (after > before).all()


def test_score_of_a_prompt_does_not_depend_on_its_neighbours(reward: ClipReward) -> None:
    images = torch.rand(2, 3, 64, 64)
    prompts = ["one owl", "a fox above a frog"]
    alone = torch.cat([reward.score(images[i : i + 1], prompts[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(reward.score(images, prompts), alone)


def test_combine_weighs_each_reward(tiny_reward_dir: Path) -> None:
    specs = [RewardSpec(name=name, path=str(tiny_reward_dir), weight=weight) for name, weight in [("x", 2), ("y", 0.5)]]
    rewards, images = load_rewards(specs), torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(combine(rewards, images, PROMPTS), 2.5 * rewards[0].score(images, PROMPTS))


def test_a_broken_checkpoint_names_the_reward_and_the_prompt(tiny_reward_dir: Path) -> None:
    reward = ClipReward(tiny_reward_dir, "tiny")
    with torch.no_grad():
        reward._model.visual_projection.weight[0, 0] = torch.nan
    with pytest.raises(UserError, match=r'^Reward tiny is nan for the prompt "two owls": [^\n]*$'):
        reward.score(torch.rand(2, 3, 64, 64), PROMPTS)


def test_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"The path of reward mine names .*nowhere, and there is no such folder"):
        load_rewards([RewardSpec(name="mine", path=str(tmp_path / "nowhere"))])


def test_another_kind_of_model_is_one_line(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "siglip"})
    with pytest.raises(UserError, match="is a siglip model: name a CLIPModel folder"):
        ClipReward(tmp_path, "mine")


def test_unknown_embedded_reward_names_the_two(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="embedded:a or embedded:b"):
        load_rewards([RewardSpec(name="mine", path="embedded:c")])
