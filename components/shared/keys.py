"""Content keys: a step's key is made of its code, its parts of the recipe, its data, and the keys of the steps before.

    step_keys(recipe)["train_student"]  ->  "3f1c..."

A key that is equal promises an equal result, so what a step does not depend on must stay out of its key, or nothing is
ever reused, and what it does depend on must be in it, or something stale is.
"""

from pathlib import Path
from typing import Any

from components.shared.code import code_digest
from rats_train.config import Recipe
from rats_train.embedded import teacher_folder
from rats_train.errors import UserError
from rats_train.evaluation.heldout import watch_prompts
from rats_train.files import sha256_file, sha256_json, sha256_tree
from rats_train.prompt_file import prompt_file
from rats_train.recipe_methods import plugged_source
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.check_recipe import check_rewards
from rats_train.rewards.digest import reward_digest

LATENTS = "teacher_latents"
"""The key of what the teacher draws, whatever rewards score it; `generate_trajectories` draws and scores."""
STEPS = (
    "generate_trajectories",
    "train_student",
    "evaluate_rewards",
    "promotion_gate",
    "package_student",
    "smoke_test",
    "report",
)
KEYS = (LATENTS, *STEPS)


def step_keys(recipe: Recipe, force: str = "") -> dict[str, str]:
    """`KEYS`: of what the teacher draws and of every cached step, in the order of the pipeline; with a word to
    ``force`` them, keys of its own.

    Raises:
        UserError: the teacher, a reward model or a prompts file is not there, or a remote reward lacks the gradient
            that the method needs.
        RewardAwayError: the server of a remote reward does not answer.
    """
    check_rewards(recipe)
    values = recipe.model_dump(mode="json")
    teacher = {**values["teacher"], "path": _folder_digest(teacher_folder(recipe.teacher.path), "teacher.path")}
    trained, heldout = ([_reward(spec) for spec in specs] for specs in (recipe.rewards.train, recipe.rewards.heldout))
    content: dict[str, Any] = {
        LATENTS: {
            **{name: values[name] for name in ("family", "resolution", "student")},
            "seed": recipe.trajectory_seed,
            "teacher": teacher,
            "trajectories": _with_prompts(values["trajectories"] | {"seed": None}, "trajectories.prompts"),
        },
        "generate_trajectories": {"rewards": trained},
        "train_student": {
            **{name: values[name] for name in ("method", "seed", "training")},
            "method_source": _plugged_source(recipe),
            # What the watch sees decides which of the weights are exported.
            "watch": [heldout, watch_prompts(recipe)] if recipe.training.watch_every else None,
        },
        "evaluate_rewards": {
            "name": recipe.name,
            "evaluation": _with_prompts(values["evaluation"], "evaluation.prompts"),
            "rewards": [trained, heldout],
        },
    }
    keys: dict[str, str] = {}
    for name in KEYS:
        step = "generate_trajectories" if name == LATENTS else name
        keys[name] = content_key(step, content.get(name), before=[*filter(None, [force]), *keys.values()])
    return keys


def content_key(step: str, content: Any, before: list[str]) -> str:
    """24 hex digits over the code of ``step``, its content and the keys of the steps that feed it."""
    parts = [code_digest(f"components.{step}.component"), content, before]
    return sha256_json(parts)[:24]


def _plugged_source(recipe: Recipe) -> str | None:
    """Digest of the file of a method from elsewhere; those of ours are code of the step."""
    source = plugged_source(recipe.method)
    return None if source is None else sha256_file(source)


def _reward(spec: RewardSpec) -> dict[str, Any]:
    return {"name": spec.name, "weight": spec.weight, "digest": reward_digest(spec)}


def _with_prompts(section: dict[str, Any], key: str) -> dict[str, Any]:
    """The section with digest and format of its prompts file in place of the path; embedded prompts are code."""
    if section["prompts"] == "embedded":
        return section
    file = prompt_file(section["prompts"], key)
    return {**section, "prompts": sha256_file(file) + file.suffix}


def _folder_digest(folder: Path, key: str) -> str:
    if not folder.is_dir():
        raise UserError(f"{key} names {folder}, and there is no such folder: write embedded, or a folder that exists.")
    return sha256_tree(folder)
