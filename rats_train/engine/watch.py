"""The watch over a training run: now and then the student draws held-out prompts, and everything judges them."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rats_train.config import Recipe
from rats_train.engine.joint_reward import load_joint_rewards
from rats_train.engine.ranks import Ranks
from rats_train.evaluation import metrics
from rats_train.evaluation.heldout import WATCHED_SEEDS, watch_prompts, watch_seeds, watched_budget
from rats_train.evaluation.judges import judging_kind, world_kinds
from rats_train.evaluation.scores import ALL_CORRECT, DIVERSITY_FEATURES, DIVERSITY_PIXELS, Kind, floats
from rats_train.evaluation.watched import WatchPoint
from rats_train.models.base import FlowModel
from rats_train.prompt_metadata import prompt_metadata
from rats_train.rewards.base import RewardModel
from rats_train.sampling.draw import draw
from rats_train.sampling.schedule import student_sigmas


class Watch:
    """The same prompts and seeds at every look, shared out among the ranks; draws from no generator of training's.

    Raises:
        UserError: a held-out reward model is missing, or there are no prompts to watch by.
    """

    def __init__(self, recipe: Recipe, model: FlowModel, trained: Sequence[RewardModel], ranks: Ranks) -> None:
        self._model, self._ranks, self._batch = model, ranks, recipe.evaluation.batch_size
        self._prompts = watch_prompts(recipe)
        self._seeds = watch_seeds(recipe, len(self._prompts))
        trained = metrics.judging(trained)
        heldout = load_joint_rewards(recipe.rewards.heldout, ranks, prompt_metadata(recipe))
        self._rewards = [*trained, *heldout]
        self._encoder = metrics.encoder([*heldout, *self._rewards])
        self._nfe = watched_budget(recipe.student.steps)
        self._sigmas, self._guidance_scale = student_sigmas(recipe, self._nfe), recipe.student_guidance_scale
        self._weights = {reward.name: reward.weight for reward in self._rewards}
        ruled = ALL_CORRECT in world_kinds(recipe.rewards.train)
        self._kinds: dict[str, Kind] = {
            **{reward.name: "trained" for reward in trained},
            **{spec.name: judging_kind(spec) for spec in recipe.rewards.heldout},
            **({ALL_CORRECT: "verifier"} if ruled and metrics.can_verify(self._prompts) else {}),
            DIVERSITY_PIXELS: "diversity",
            **({DIVERSITY_FEATURES: "diversity"} if self._encoder else {}),
        }

    def look(self, step: int, student: nn.Module) -> WatchPoint:
        """Draw and judge after ``step`` steps. Every rank must call, and gets the same point.

        Raises:
            UserError: a reward is not finite.
            RewardAwayError: the server of a remote reward does not answer.
        """
        start = time.monotonic()
        mine = self._ranks.together(lambda: self._judge(self._my_rows(), student))
        gathered = self._ranks.gather({name: values.to(self._ranks.device) for name, values in mine.items()})
        # Rounded as they are written: a resumed run that reads them chooses as this one does.
        values = {name: np.array(floats(vector[: len(self._prompts)].tolist())) for name, vector in gathered.items()}
        seconds = round(time.monotonic() - start, 4)
        return WatchPoint(step, self._nfe, self._kinds, self._weights, values, seconds)

    def _my_rows(self) -> list[int]:
        """This rank's prompts, as many as every other's: under ZeRO-3 all must call the student equally often."""
        share = -(-len(self._prompts) // self._ranks.size)
        first = self._ranks.rank * share
        return [row % len(self._prompts) for row in range(first, first + share)]

    def _judge(self, rows: Sequence[int], student: nn.Module) -> dict[str, Tensor]:
        """Every metric of prompts ``rows``, ``[P]`` each."""
        prompts = [self._prompts[row] for row in rows for _ in range(WATCHED_SEEDS)]
        seeds = [self._seeds[row * WATCHED_SEEDS + image] for row in rows for image in range(WATCHED_SEEDS)]
        drawn = draw(
            self._model,
            prompts,
            seeds,
            sigmas=self._sigmas,
            guidance_scale=self._guidance_scale,
            batch_size=self._batch,
            transformer=student,
        )
        images = (drawn * 255).round().to(torch.uint8)
        found = {reward.name: metrics.reward_values(reward, images, prompts, self._batch) for reward in self._rewards}
        if ALL_CORRECT in self._kinds:
            found[ALL_CORRECT] = metrics.verified(images, prompts)
        by_prompt = {name: values.unflatten(0, (-1, WATCHED_SEEDS)).mean(dim=1) for name, values in found.items()}
        by_prompt[DIVERSITY_PIXELS] = metrics.pixel_diversity(images, WATCHED_SEEDS)
        if self._encoder:
            features = metrics.features(self._encoder, images, self._batch)
            by_prompt[DIVERSITY_FEATURES] = metrics.feature_diversity(features, WATCHED_SEEDS)
        return by_prompt
