"""Mean and spread of raw values, measured on pictures that never change."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from rats_train.embedded import reward_dir
from rats_train.errors import UserError
from rats_train.rewards.base import Reward, Traits
from rats_train.rewards.clip import ClipReward
from rats_train.rewards.statistics import Labelled, labelled_pictures, measure, pictures_digest
from rats_train.rewards.verifier import VerifierReward


class Brightness(Reward):
    traits = Traits(differentiable=True, low=0, high=1, inputs=frozenset({"image"}))

    def _values(self, images, prompts, extras):
        return images.mean(dim=(1, 2, 3))


def grey(*shades):
    """Pictures of one shade each, of two sizes in turn."""
    return [
        Labelled(torch.full((3, 8 + number % 2, 8), shade, dtype=torch.uint8), "grey")
        for number, shade in enumerate(shades)
    ]


def test_mean_and_deviation_over_pictures_of_any_size():
    found = measure(Brightness("light"), grey(0, 51, 102, 255))
    assert found.mean == pytest.approx(np.mean([0, 0.2, 0.4, 1]))
    assert found.std == pytest.approx(np.std([0, 0.2, 0.4, 1]))


def test_batches_change_nothing():
    shades = [number % 250 for number in range(70)]
    same_size = [Labelled(torch.full((3, 8, 8), shade, dtype=torch.uint8), "grey") for shade in shades]
    assert measure(Brightness("light"), same_size).std == pytest.approx(np.std(np.array(shades) / 255))


@pytest.mark.parametrize("shades", [(), (51,), (51, 51, 51)])
def test_a_reward_without_a_scale_is_one_line(shades):
    with pytest.raises(UserError, match=rf"Reward light gives all {len(shades)} pictures the same value"):
        measure(Brightness("light"), grey(*shades))


def test_the_embedded_pictures_are_half_right_and_half_wrong_and_never_change():
    pictures = list(labelled_pictures("embedded"))
    right = measure(VerifierReward("rules"), pictures)
    assert len(pictures) == 512
    assert 0.5 <= right.mean < 0.55  # some scenes suit the next prompt as well
    # Measured with them, a released scale means something only as long as they are these very pixels.
    assert pictures_digest(pictures) == "fe21e860509a0a0bbef9fa37ae3ba301d8a05b13d1a90e9638232200befc3ab9"


def test_one_unit_of_an_embedded_reward_is_about_half_the_way_from_wrong_to_right():
    found = measure(ClipReward(reward_dir("a"), "a"), list(labelled_pictures("embedded"))[:64])
    assert 0.2 < found.mean < 0.8
    assert 0.3 < found.std < 0.6


def test_pictures_of_a_folder_come_with_their_prompts(tmp_path):
    Image.new("RGB", (4, 3), (255, 0, 51)).save(tmp_path / "a.png")
    Image.new("L", (2, 2), 7).save(tmp_path / "b.png")
    rows = [{"file_name": "a.png", "prompt": "red", "more": 1}, {"file_name": "b.png", "prompt": "dark"}]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = labelled_pictures(str(tmp_path))
    assert (first.prompt, first.image.shape, first.image[:, 0, 0].tolist()) == ("red", (3, 3, 4), [255, 0, 51])
    assert (second.prompt, second.image.shape, second.image.unique().tolist()) == ("dark", (3, 2, 2), [7])


def test_the_digest_of_pictures_sees_pixels_prompts_and_order():
    pictures = grey(1, 2, 3)
    others = [grey(1, 2, 4), pictures[::-1], [*pictures[:2], pictures[2]._replace(prompt="black")]]
    assert len({pictures_digest(each) for each in [pictures, *others]}) == 4
    assert pictures_digest(grey(1, 2, 3)) == pictures_digest(pictures)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r"Line 1 of .* names no file_name and prompt"),
        ('{"file_name": "a.png"}', r"Line 1 of .* names no file_name and prompt"),
        ('["a.png"]', r"Line 1 of .* names no file_name and prompt"),
        ('{"file_name": "a.png", "prompt": "x"}', r"a\.png is no picture that can be read"),
    ],
)
def test_a_bad_list_is_one_line(tmp_path, line, said):
    (tmp_path / "metadata.jsonl").write_text(line)
    with pytest.raises(UserError, match=said):
        list(labelled_pictures(str(tmp_path)))
