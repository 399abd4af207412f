"""One reward, one request at a time, and a queue that has an end."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from rats_train.devices import accelerator
from rats_train.errors import UserError
from rats_train.rewards.base import NOTHING, Extras, Reward

log = logging.getLogger(__name__)

Answer = dict[str, Tensor]


class FullError(Exception):
    """No place left in the queue."""


class Scorer:
    """Scores requests in the order in which they came, each by itself.

    Requests are not merged: what else is asked at the time would then decide the last bits of an answer.

    Args:
        reward: loaded, on the `accelerator`.
        places: requests that may be here at once, those that are still being read included.

    Attributes:
        fault: what broke the latest request, if it was no mistake of the one who asked; None once one has gone well.
    """

    def __init__(self, reward: Reward, places: int) -> None:
        self.fault: str | None = None
        self._reward, self._free = reward, places
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="scorer")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places.

        Raises:
            FullError: all are taken.
        """
        if not self._free:
            raise FullError
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    async def score(self, images: Tensor, prompts: list[str], gradient: bool, extras: Extras = NOTHING) -> Answer:
        """Score[B] of images[B, 3, H, W] in [0, 1] and, if asked for, the ``gradient`` of each by its picture.

        Raises:
            UserError: the reward refuses them, or has no gradient.
        """
        return await self._run(lambda: self._score(images, prompts, gradient, extras))

    async def features(self, images: Tensor) -> Answer:
        """Features[B, D] of images[B, 3, H, W] in [0, 1].

        Raises:
            UserError: the reward has none.
        """
        return await self._run(lambda: self._features(images))

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except UserError:
            raise
        except Exception as error:
            log.exception("scoring failed")
            self.fault = f"scoring failed: {type(error).__name__}: {error}"
            raise
        self.fault = None
        return answer

    def _score(self, images: Tensor, prompts: list[str], gradient: bool, extras: Extras) -> Answer:
        if gradient and not self._reward.traits.own_gradient:
            raise UserError(f"Reward {self._reward.name} has no gradient: ask for the score alone.")
        images = images.to(accelerator()).requires_grad_(gradient)
        with torch.set_grad_enabled(gradient):
            score = self._reward.score(images, prompts, _moved(extras, images))
        if not gradient:
            return {"score": score}
        return {"score": score, "gradient": torch.autograd.grad(score.sum(), images)[0]}

    @torch.no_grad()
    def _features(self, images: Tensor) -> Answer:
        if not self._reward.traits.has_features:
            raise UserError(f"Reward {self._reward.name} has no features: ask for the score alone.")
        return {"features": self._reward.image_features(images.to(accelerator()))}


def _moved(extras: Extras, images: Tensor) -> Extras:
    """With latents where the images are."""
    return extras if extras.latents is None else Extras(extras.latents.to(images), extras.metadata)
