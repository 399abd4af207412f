"""Flawed pictures are wrong in the way that their name says, and only there."""

import random

import numpy as np
import pytest

from rats_train.world.flaws import FLAWS, two_layouts
from rats_train.world.grammar import Prompt, any_prompts, parse
from rats_train.world.renderer import render
from rats_train.world.scene import Scene, all_scenes, sample_scene
from rats_train.world.verifier import Verdict, judge


def scenes(count: int) -> list[tuple[Prompt, Scene]]:
    rng = random.Random(1)
    prompts = [prompt for prompt in map(parse, any_prompts(count, seed=6)) if prompt]
    return [(prompt, sample_scene(prompt, rng)) for prompt in prompts]


def verdicts(kind: str) -> list[Verdict]:
    rng, found = random.Random(2), []
    for prompt, scene in scenes(60):
        picture = FLAWS[kind](prompt, scene, render(scene), rng)
        if picture is not None:
            found.append(judge(picture.astype(np.float32) / np.float32(255), prompt))
    return found


@pytest.mark.parametrize(
    ("kind", "wrong"), [("extra object", "count"), ("missing object", "count"), ("other object", "objects")]
)
def test_the_rule_finds_the_flaw(kind: str, wrong: str) -> None:
    found = verdicts(kind)
    assert len(found) > 10
    assert not any(getattr(verdict, wrong) for verdict in found)
    assert all(verdict.background for verdict in found)


@pytest.mark.parametrize("kind", FLAWS)
def test_a_flaw_changes_the_picture_and_keeps_its_shape(kind: str) -> None:
    rng = random.Random(3)
    for prompt, scene in scenes(40):
        sound = render(scene)
        flawed = FLAWS[kind](prompt, scene, sound, rng)
        if flawed is None:
            assert kind == "extra object"
            continue
        assert (flawed.shape, flawed.dtype) == (sound.shape, sound.dtype)
        assert np.abs(flawed.astype(float) - sound).max() > 8, (kind, str(prompt))


def test_only_counts_with_a_free_cell_get_an_extra_object() -> None:
    for prompt, scene in scenes(60):
        flawed = FLAWS["extra object"](prompt, scene, render(scene), random.Random(4))
        assert (flawed is not None) == (prompt.count in (2, 3)), str(prompt)


def test_two_layouts_at_once_are_none_of_the_right_pictures() -> None:
    for prompt, scene in scenes(20):
        flawed = two_layouts(prompt, scene, render(scene), random.Random(5))
        right = [render(other) for other in all_scenes(prompt)]
        assert min(np.abs(flawed.astype(float) - picture).max() for picture in right) > 8, str(prompt)
