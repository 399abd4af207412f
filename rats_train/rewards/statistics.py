"""Mean and standard deviation of a reward's raw values on a frozen set of pictures.

    statistics = measure(reward, labelled_pictures("embedded"))

They bring rewards of different scales to one, so they belong to a version of a reward and never to a run: measured on
what a student draws, they would move while it learns.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from rats_train.devices import accelerator
from rats_train.errors import UserError
from rats_train.recipe_rewards import Statistics
from rats_train.rewards.base import Reward
from rats_train.world.grammar import any_prompts, parse
from rats_train.world.renderer import render
from rats_train.world.scene import sample_scene

EMBEDDED: Final = "embedded"
LIST: Final = "metadata.jsonl"
_SCENES: Final = 256
_BATCH: Final = 32
# Of the size of the values: below it, what varies is rounding.
_ROUNDING: Final = 1e-6


class Labelled(NamedTuple):
    """A picture ``uint8[3, H, W]`` and the prompt that it is scored against."""

    image: Tensor
    prompt: str


def labelled_pictures(source: str) -> Iterator[Labelled]:
    """The pictures of ``embedded``, or of a folder with metadata.jsonl: ``{"file_name": "1.png", "prompt": "..."}``.

    Raises:
        UserError: the folder has no such list, a line of it is something else, or a picture cannot be read.
    """
    return _scenes() if source == EMBEDDED else _files(Path(source).expanduser())


def pictures_digest(pictures: Iterable[Labelled]) -> str:
    """Hex SHA-256 over all pixels and prompts, in order."""
    total = hashlib.sha256()
    for image, prompt in pictures:
        total.update(json.dumps([list(image.shape), prompt]).encode())
        total.update(image.numpy().tobytes())
    return total.hexdigest()


def measure(reward: Reward, pictures: Iterable[Labelled]) -> Statistics:
    """Mean and (population) standard deviation of what ``reward`` gives the pictures.

    Args:
        reward: one without statistics of its own, so that its values are raw.
        pictures: two or more, scored a batch of equal sizes at a time.

    Raises:
        UserError: there are too few pictures, or all have the same value.
    """
    reward.to(accelerator())
    values: list[float] = []
    for _, same_size in groupby(pictures, key=lambda one: one.image.shape):
        while batch := list(islice(same_size, _BATCH)):
            images = torch.stack([one.image for one in batch]).to(accelerator()).float() / 255
            with torch.inference_mode():
                values += reward.score(images, [one.prompt for one in batch]).tolist()
    mean, std = (float(np.mean(values)), float(np.std(values))) if values else (0.0, 0.0)
    if std <= _ROUNDING * max(abs(mean), 1e-3):
        raise UserError(
            f"Reward {reward.name} gives all {len(values)} pictures the same value, so it has no scale: measure it on "
            "pictures that differ in what it judges."
        )
    return Statistics(mean=mean, std=std)


def _scenes() -> Iterator[Labelled]:
    """Scenes of the embedded world, each with its own prompt and with the next one's.

    With their own prompts alone the spread would be next to nothing: a reward is taught to give all right pictures the
    same. What counts as one unit is the way from wrong to right.
    """
    rng, prompts = random.Random("statistics of rewards"), any_prompts(_SCENES, seed=0)
    for prompt, other in zip(prompts, [*prompts[1:], prompts[0]], strict=True):
        parsed = parse(prompt)
        assert parsed is not None
        image = torch.from_numpy(render(sample_scene(parsed, rng))).permute(2, 0, 1)
        yield from (Labelled(image, prompt), Labelled(image, other))


def _files(folder: Path) -> Iterator[Labelled]:
    listed = folder / LIST
    if not listed.is_file():
        raise UserError(
            f'No {listed}: name a folder of pictures with such a list, a line a picture such as {{"file_name": '
            f'"1.png", "prompt": "a fox"}}, or {EMBEDDED}.'
        )
    for number, line in enumerate(listed.read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
            name, prompt = str(row["file_name"]), str(row["prompt"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(
                f'Line {number} of {listed} names no file_name and prompt: write {{"file_name": "1.png", "prompt": '
                '"a fox"}.'
            ) from error
        yield Labelled(_pixels(folder / name), prompt)


def _pixels(file: Path) -> Tensor:
    try:
        with Image.open(file) as picture:
            return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
    except (OSError, UnidentifiedImageError) as error:
        raise UserError(f"{file} is no picture that can be read ({error}): name a PNG or JPEG that is.") from error
