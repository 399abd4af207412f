"""Every metric of a recipe behind one call: pictures of an arm in, named numbers out."""

from collections.abc import Sequence

from torch import Tensor

from rats_train.config import Recipe
from rats_train.devices import accelerator
from rats_train.evaluation import metrics
from rats_train.evaluation.scores import ALL_CORRECT, DIVERSITY_FEATURES, DIVERSITY_PIXELS, SCENE_LIKENESS, Kind, floats
from rats_train.prompt_metadata import prompt_metadata
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.build import load_rewards


def judging_kind(spec: RewardSpec) -> Kind:
    """What a reward of the held-out list is to the judgement: evidence, or a guard that may only forbid."""
    return "guard" if spec.kind == "nsfw" else "heldout"


def world_kinds(trained: Sequence[RewardSpec]) -> dict[str, Kind]:
    """What judges the embedded world's pictures beside rewards; a rule that is trained on is a reward, and no judge."""
    kinds = {spec.kind for spec in trained}
    judges: dict[str, Kind] = {} if "verifier" in kinds else {ALL_CORRECT: "verifier"}
    return judges if "likeness" in kinds else judges | {SCENE_LIKENESS: "realism"}


class Judges:
    """Every metric of a recipe, ready to score pictures of ``prompts`` (one an image, prompt by prompt).

    Attributes:
        kinds: metric -> kind. Verifier and likeness appear when all prompts are of the embedded world, unless they were
            trained on; diversity when a prompt has at least two pictures; its features are those of the first held-out
            reward that has some, or else of the first other one, and without any it is left out.
        encoder: name of that reward.
    """

    def __init__(self, recipe: Recipe, prompts: Sequence[str]) -> None:
        # A guard has a threshold on its own scale, which statistics would move.
        own_scale = [
            spec.model_copy(update={"statistics": None}) if judging_kind(spec) == "guard" else spec
            for spec in recipe.rewards.heldout
        ]
        patience, known = recipe.rewards.wait_minutes * 60, prompt_metadata(recipe)
        trained = metrics.judging(load_rewards(recipe.rewards.train, patience, known))
        heldout = load_rewards(own_scale, patience, known)
        self._rewards = [*trained, *heldout]
        for reward in self._rewards:
            reward.to(accelerator())
        self._encoder = metrics.encoder([*heldout, *self._rewards])
        self.encoder = self._encoder.name if self._encoder else None
        self._per_prompt, self._batch = recipe.evaluation.images_per_prompt, recipe.evaluation.batch_size
        self._prompts = list(prompts)
        self.kinds: dict[str, Kind] = {
            **{reward.name: "trained" for reward in trained},
            **{spec.name: judging_kind(spec) for spec in recipe.rewards.heldout},
        }
        if metrics.can_verify(prompts):
            self.kinds |= world_kinds(recipe.rewards.train)
        if self._per_prompt > 1:
            self.kinds[DIVERSITY_PIXELS] = "diversity"
            if self._encoder:
                self.kinds[DIVERSITY_FEATURES] = "diversity"

    def features(self, images: Tensor) -> Tensor | None:
        """Unit vectors ``[N, D]`` of pictures ``uint8[N, 3, H, W]``; None where no reward has features."""
        return metrics.features(self._encoder, images, self._batch) if self._encoder else None

    def values(self, images: Tensor, features: Tensor | None) -> dict[str, list[float]]:
        """Every metric of one arm's ``uint8[N, 3, H, W]`` pictures, whose `features` are given."""
        found = {
            reward.name: metrics.reward_values(reward, images, self._prompts, self._batch) for reward in self._rewards
        }
        if ALL_CORRECT in self.kinds:
            found[ALL_CORRECT] = metrics.verified(images, self._prompts)
        if SCENE_LIKENESS in self.kinds:
            found[SCENE_LIKENESS] = metrics.scene_likeness(images, self._prompts)
        if self._per_prompt > 1:
            found[DIVERSITY_PIXELS] = metrics.pixel_diversity(images, self._per_prompt)
            if features is not None:
                found[DIVERSITY_FEATURES] = metrics.feature_diversity(features, self._per_prompt)
        return {name: floats(values.tolist()) for name, values in found.items()}
