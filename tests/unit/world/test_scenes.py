"""Renderer, verifier and captions agree with each other on real scenes."""

import random

import numpy as np
import pytest
import torch
from scipy import ndimage

from rats_train.world.captions import MISTAKES, holds
from rats_train.world.grammar import Prompt, heldout_prompts, parse, train_prompts
from rats_train.world.objects import find_objects
from rats_train.world.renderer import ART_DIR, render
from rats_train.world.scene import CELL_SIZE, SINGLE_SIZE, Scene, all_scenes, sample_scene
from rats_train.world.verifier import ceiling, judge, verify
from rats_train.world.vocabulary import BACKGROUNDS, NOUNS, STYLES


def picture(scene: Scene) -> np.ndarray:
    return render(scene).astype(np.float32) / np.float32(255)


def scenes(count: int) -> list[tuple[Prompt, Scene]]:
    rng = random.Random(0)
    prompts = [prompt for prompt in map(parse, train_prompts(count, seed=4)) if prompt]
    return [(prompt, sample_scene(prompt, rng)) for prompt in prompts]


def test_there_is_art_for_every_noun_in_every_style() -> None:
    assert {p.relative_to(ART_DIR).as_posix() for p in ART_DIR.rglob("*.png")} == {
        f"{style}/{noun.singular}.png" for style in STYLES for noun in NOUNS
    }


def test_one_prompt_has_many_right_pictures() -> None:
    rng = random.Random(0)
    drawn = {sample_scene(Prompt(("fox", "owl"), relation="and"), rng) for _ in range(400)}
    assert len(drawn) == len(STYLES) * len(BACKGROUNDS) * 4


def as_drawn(scene: Scene) -> tuple[object, ...]:
    return scene.style, scene.background, frozenset(scene.placements)


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        ("a fox", 12),
        ("two owls", 72),
        ("three owls, pink background", 8),
        ("a fox above an owl", 12),
        ("a fox and an owl", 48),
    ],
)
def test_all_scenes_are_those_that_sampling_draws(prompt: str, count: int) -> None:
    parsed, rng = parse(prompt), random.Random(0)
    assert parsed is not None
    sampled = {as_drawn(sample_scene(parsed, rng)) for _ in range(1500)}
    assert {as_drawn(scene) for scene in all_scenes(parsed)} == sampled
    assert len(all_scenes(parsed)) == len(sampled) == count


def test_sampled_scenes_make_their_caption_true() -> None:
    assert all(holds(prompt, scene) for prompt, scene in scenes(300))


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistaken_captions_are_false_and_the_verifier_sees_it(kind: str) -> None:
    rng, judged = random.Random(1), []
    for prompt, scene in scenes(200):
        wrong = MISTAKES[kind](prompt, scene, rng)
        if wrong is None:
            continue
        assert not holds(wrong, scene), (str(prompt), str(wrong))
        judged.append(judge(picture(scene), wrong).all_correct)
    assert len(judged) > 40
    assert np.mean(judged) < 0.01


def test_the_verifier_names_what_is_wrong() -> None:
    prompt = parse("an owl above a fox, blue background")
    assert prompt is not None
    fox, owl = ("fox", (32, 16, 28)), ("owl", (32, 48, 28))
    upside_down = judge(picture(Scene("noto", "blue", (fox, owl))), prompt)
    assert (upside_down.objects, upside_down.count, upside_down.relation, upside_down.background) == (
        True,
        True,
        False,
        True,
    )
    alone = judge(picture(Scene("noto", "pink", (owl,))), prompt)
    assert (alone.objects, alone.count, alone.relation, alone.background) == (False, False, False, False)


def test_an_empty_or_foreign_picture_is_wrong() -> None:
    assert not verify(torch.full((3, 64, 64), 1.0), "a fox").all_correct
    assert not verify(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)), "a fox").all_correct
    fox = torch.from_numpy(picture(Scene("noto", "white", (("fox", (32, 32, 44)),)))).permute(2, 0, 1)
    assert verify(fox, "a fox").all_correct
    assert not verify(fox, "a zebra").all_correct


def test_blobs_of_the_right_colour_are_no_objects() -> None:
    canvas = picture(Scene("noto", "white", ()))
    canvas[20:44, 20:44] = (0.95, 0.5, 0.1)
    _, found = find_objects(canvas)
    assert [item.noun for item in found if item.noun == "fox"] == []


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [CELL_SIZE, SINGLE_SIZE])
def test_one_object_is_one_object(style: str, size: int) -> None:
    for noun in NOUNS:
        for background in BACKGROUNDS:
            _, found = find_objects(picture(Scene(style, background, ((noun.singular, (32, 32, size)),))))
            assert [item.noun for item in found] == [noun.singular], (style, background)


def touching(prompt: Prompt, scene: Scene) -> np.ndarray | None:
    """The scene of two objects, moved together until no background lies between them; None if they never touch."""
    (first, (x, y, size)), (second, (to_x, to_y, _)) = scene.placements
    for step in range(1, 12):
        near = ((first, (x + step * (to_x > x), y + step * (to_y > y), size)), (second, (to_x, to_y, size)))
        canvas = picture(Scene(scene.style, scene.background, near))
        mask = np.abs(canvas - canvas[0, 0]).max(axis=-1) > 0.14
        if ndimage.label(mask, np.ones((3, 3)))[1] == 1:
            return canvas
    return None


def test_two_objects_that_touch_are_two_objects() -> None:
    rng = random.Random(6)
    right, wrong = [], []
    for prompt, scene in scenes(900):
        canvas = touching(prompt, scene) if prompt.relation else None
        if canvas is None:
            continue
        right.append(judge(canvas, prompt).all_correct)
        for mistake in MISTAKES.values():
            false = mistake(prompt, scene, rng)
            wrong += [judge(canvas, false).all_correct] if false else []
    print(f"touching: {np.mean(right):.3f} of {len(right)} right, {np.mean(wrong):.3f} of {len(wrong)} wrong pass")  # noqa: T201
    assert len(right) > 100
    assert np.mean(right) > 0.9
    assert np.mean(wrong) < 0.01


def test_the_ceiling_is_high_on_clean_and_degraded_scenes() -> None:
    shares = ceiling(200, seed=3)
    print({name: round(share, 3) for name, share in shares.items()})  # noqa: T201
    assert shares["clean"] > 0.98
    assert min(shares.values()) > 0.94


def test_heldout_prompts_are_all_drawable() -> None:
    rng = random.Random(5)
    for prompt in filter(None, map(parse, heldout_prompts(100, seed=9))):
        assert holds(prompt, sample_scene(prompt, rng))
