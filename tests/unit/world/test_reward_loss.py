"""What the embedded rewards are taught: pictures pushed the misleading way, and right ones scoring alike."""

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPModel

from rats_train.world.build import reward_loss as taught
from rats_train.world.build.reward_loss import (
    LARGEST_PUSH,
    Lesson,
    Reader,
    contrast_loss,
    embed_images,
    hardened_loss,
    misleading,
)
from rats_train.world.build.rewards import DESIGNS, FAINTEST, degrade, make_lesson, make_pool, new_reward
from rats_train.world.build.tokenizer import build_tokenizer
from rats_train.world.grammar import any_prompts

ROWS = [0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(build_tokenizer())


@pytest.fixture(scope="module")
def model(reader: Reader) -> CLIPModel:
    torch.manual_seed(0)
    return new_reward(DESIGNS["a"], reader.tokenizer)


@pytest.fixture
def lesson() -> Lesson:
    pool = make_pool(any_prompts(20, seed=2), seed=2)
    degrade(pool.pixels, 2)
    return make_lesson(DESIGNS["a"], pool, ROWS, random.Random(1), torch.Generator().manual_seed(1))


def test_sound_pictures_are_pushed_down_flawed_ones_and_twins_up(model: CLIPModel, lesson: Lesson) -> None:
    captions = F.normalize(torch.randn(len(ROWS), 64, generator=torch.Generator().manual_seed(3)), dim=-1)
    images = torch.cat([lesson.sound, lesson.flawed, lesson.twins])

    def scores(pictures: Tensor) -> Tensor:
        return (embed_images(model, pictures) * captions.repeat(3, 1)).sum(-1).detach()

    pushed = misleading(model, lesson, captions, torch.Generator().manual_seed(4))
    change = scores(pushed) - scores(images)
    assert (change[: len(ROWS)] < 0).all()
    assert (change[len(ROWS) :] > 0).all()
    assert (pushed - images).abs().max() <= LARGEST_PUSH + 1e-6
    assert all(weight.grad is None for weight in model.parameters())


def slope(model: CLIPModel, lesson: Lesson, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> float:
    """What an uneven slope adds to the loss of a lesson whose pictures nobody pushes."""
    monkeypatch.setattr(taught, "misleading", lambda _, seen, *__: torch.cat([seen.sound, seen.flawed, seen.twins]))
    losses = []
    for weight in (0.0, 10.0):
        monkeypatch.setattr(taught, "SLOPE", weight)
        losses.append(hardened_loss(model, lesson, reader, torch.Generator()).item())
    return losses[1] - losses[0]


def test_right_pictures_that_score_alike_cost_nothing(
    model: CLIPModel, lesson: Lesson, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(lesson, share=torch.ones(len(ROWS)))
    assert slope(model, replace(whole, twins=lesson.sound), reader, monkeypatch) == pytest.approx(0, abs=1e-3)
    assert slope(model, whole, reader, monkeypatch) > 3e-3


def test_a_ghost_costs_in_proportion(
    model: CLIPModel, lesson: Lesson, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = replace(lesson, twins=lesson.sound)
    assert slope(model, replace(alike, share=torch.zeros(len(ROWS))), reader, monkeypatch) == pytest.approx(0, abs=1e-3)
    assert slope(model, replace(alike, share=torch.full((len(ROWS),), 0.5)), reader, monkeypatch) > 3e-3


def test_ghosts_lie_between_sound_and_flawed(lesson: Lesson) -> None:
    gone = (lesson.ghosts - lesson.sound).flatten(1).norm(dim=1) / (lesson.flawed - lesson.sound).flatten(1).norm(dim=1)
    assert torch.allclose(gone, lesson.share, atol=1e-4)
    assert lesson.share.min() >= FAINTEST


def test_hardening_asks_for_a_margin(
    model: CLIPModel, lesson: Lesson, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(lesson, twins=lesson.sound, share=torch.ones(len(ROWS)))
    monkeypatch.setattr(taught, "misleading", lambda _, seen, *__: torch.cat([seen.sound, seen.flawed, seen.twins]))
    hardened = hardened_loss(model, whole, reader, torch.Generator()).item()
    assert hardened > contrast_loss(model, whole, reader).item() + 0.1
    monkeypatch.setattr(taught, "MARGIN", 0.0)
    without = hardened_loss(model, whole, reader, torch.Generator()).item()
    assert without == pytest.approx(contrast_loss(model, whole, reader).item(), abs=0.05)  # but for bf16


def test_a_lesson_shows_each_scene_beside_another_right_one_and_a_flawed_one(lesson: Lesson) -> None:
    assert len(lesson.prompts) == len(lesson.scenes) == len(lesson.wrong) == len(ROWS)
    for other in (lesson.twins, lesson.flawed):
        assert ((lesson.sound - other).abs().amax(dim=(1, 2, 3)) > 0.1).float().mean() > 0.6
