"""Draws the arms of an evaluation, or finds them drawn."""

import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from rats_train.config import Recipe
from rats_train.devices import accelerator
from rats_train.embedded import teacher_folder
from rats_train.evaluation.arms import Arm
from rats_train.evaluation.draws import Draws, draws_key, draws_path, load_draws, save_draws
from rats_train.files import sha256_tree
from rats_train.models.base import FlowModel
from rats_train.sampling.draw import draw, to_uint8
from rats_train.sampling.teacher import load_like_teacher

ImagesDone = Callable[[int, int], None]
"""Called with the images of an arm that are drawn, and how many there will be."""


class Painter:
    """Draws one prompt and seed an image; a model is loaded when the first arm needs it."""

    def __init__(
        self, recipe: Recipe, student_dir: Path, out: Path, prompts: Sequence[str], seeds: Sequence[int]
    ) -> None:
        self._out, self._prompts, self._seeds = out, list(prompts), list(seeds)
        self._batch = recipe.evaluation.batch_size
        self._folders = {"student": student_dir, "teacher": teacher_folder(recipe.teacher.path)}
        self._recipe = recipe
        self._model = cache(self._load)
        self.digest = cache(lambda role: sha256_tree(self._folders[role]))

    def draws(self, arm: Arm, on_progress: ImagesDone) -> Draws:
        """The pictures of an arm, from disk when they are there.

        Raises:
            UserError: the model's folder is missing, or pictures on disk are damaged.
        """
        path, key = draws_path(self._out, arm.name), self._key(arm)
        found = load_draws(path, key)
        if found is None:
            found = self._draw(arm, on_progress)
            save_draws(path, found, key)
        return found

    def _key(self, arm: Arm) -> str:
        return draws_key(
            {
                "weights": self.digest(arm.role),
                "prompts": self._prompts,
                "seeds": self._seeds,
                "sigmas": arm.sigmas,
                "guidance": arm.guidance_scale,
                "precision": self._recipe.training.precision,
            }
        )

    def _draw(self, arm: Arm, on_progress: ImagesDone) -> Draws:
        model = self._model(arm.role)
        start = time.perf_counter()
        images = draw(
            model,
            self._prompts,
            self._seeds,
            sigmas=torch.tensor(arm.sigmas),
            guidance_scale=arm.guidance_scale,
            batch_size=self._batch,
            on_progress=on_progress,
        )
        seconds = time.perf_counter() - start
        return Draws(torch.from_numpy(to_uint8(images)).movedim(-1, -3), seconds)

    def _load(self, role: str) -> FlowModel:
        model = load_like_teacher(self._recipe, self._folders[role]).to(accelerator())
        # The first call of a network pays for setting it up; without this the cheapest arm would be charged for it.
        one = slice(0, self._batch)
        draw(
            model,
            self._prompts[one],
            self._seeds[one],
            sigmas=torch.tensor([1.0, 0.0]),
            guidance_scale=1.0,
            batch_size=self._batch,
        )
        return model
