"""What a training run is: two runs of one key learn the same thing from the same data."""

from dataclasses import dataclass
from typing import Any

from rats_train.config import Recipe
from rats_train.evaluation.heldout import watch_prompts
from rats_train.files import sha256_json
from rats_train.rewards.digest import reward_digest
from rats_train.trajectories.manifest import trajectory_key

# What saves memory is left out too: a run that met its limit goes on with more of it.
_NOT_LEARNED_FROM = {"world_size", "checkpoint_every", "log_every", "recompute", "offload_text_encoders"}


@dataclass(frozen=True)
class Identity:
    """Keys of 16 hex digits: ``data`` of the trajectories, ``run`` of all that the student's weights depend on."""

    data: str
    run: str


def identify(recipe: Recipe) -> Identity:
    """The identity of a recipe's training; names of folders and bookkeeping do not enter.

    Raises:
        UserError: the teacher, a reward model or the prompt file is missing.
    """
    data = trajectory_key(recipe)
    facts = {
        "data": data,
        "seed": recipe.seed,
        "teacher": recipe.teacher.model_dump(exclude={"path"}),
        "student": recipe.student.model_dump(),
        "rewards": {spec.name: spec.weight for spec in recipe.rewards.train},
        "method": recipe.method.model_dump(),
        "training": recipe.training.model_dump(exclude=_NOT_LEARNED_FROM),
        "watch": _watched(recipe) if recipe.training.watch_every else None,
    }
    return Identity(data, sha256_json(facts)[:16])


def _watched(recipe: Recipe) -> dict[str, Any]:
    """What decides which of the weights are exported."""
    heldout = {spec.name: [spec.weight, reward_digest(spec)] for spec in recipe.rewards.heldout}
    return {"prompts": watch_prompts(recipe), "heldout": heldout}
