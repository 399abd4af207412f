"""The recipe: everything a run depends on, typed, with an error that names the nearest key for every typo.

recipe = load_recipe("emoji", ["training.steps=20"])
"""

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rats_train.errors import UserError

_RECIPES = Path(__file__).parent / "recipes"

Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of a recipe: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Teacher(Section):
    """The slow model that is learned from, and where its trajectories come from.

    ``source: store`` rolls the frozen original out once, ahead of training; ``ema`` rolls the moving average of the
    student out in every step, updated by ``ema_decay`` every ``ema_every`` steps.
    """

    path: str = "embedded"
    steps: Annotated[int, Field(ge=2, le=1000)] = 50
    guidance_scale: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 3.0
    source: Literal["store", "ema"] = "store"
    ema_decay: Annotated[float, Field(ge=0, le=1)] = 0.999
    ema_every: Count = 1


class Student(Section):
    """The few-step schedule: ``steps`` are the budgets that one checkpoint serves, each drawn from sigma 1 down to
    ``terminal_sigma`` and from there to 0. The student runs without guidance."""

    steps: Annotated[list[Annotated[int, Field(ge=2, le=1000)]], Field(min_length=1)] = [3, 5, 8]
    terminal_sigma: Annotated[float, Field(gt=0, lt=1)] = 0.25


class RewardSpec(Section):
    """A reward model: ``embedded:a``, ``embedded:b`` or a ``CLIPModel`` folder, and its share of the sum."""

    name: Annotated[str, Field(min_length=1)]
    path: str
    weight: Positive = 1.0


class Rewards(Section):
    """Rewards that are trained on, and rewards that only judge."""

    train: Annotated[list[RewardSpec], Field(min_length=1)]
    heldout: list[RewardSpec] = []


class Method(Section):
    """RATS: loss = reward + ``alpha`` * gate * shaping, the gate of temperature ``tau`` (in units of the reward).

    ``backprop_steps`` lets the reward's gradient through the last k student steps only; null lets it through all.
    """

    name: Literal["rats"] = "rats"
    alpha: Weight = 1.0
    tau: Positive = 0.05
    cosine_weight: Weight = 1.0
    l2_weight: Weight = 1.0
    backprop_steps: Count | None = None


class Trajectories(Section):
    """The teacher rollouts to store: ``prompts`` is ``embedded`` or a text file with one prompt a line."""

    prompts: str = "embedded"
    count: Count = 480
    batch_size: Count = 32
    shard_size: Count = 120


class Training(Section):
    """The optimiser and the machine; ``batch_size`` counts all ranks together.

    Every ``watch_every`` steps (0: never) the student draws a few held-out prompts, and what scores best on the
    held-out rewards is exported; after ``patience`` such looks without a new best training ends (null: it does not).
    """

    steps: Count = 300
    batch_size: Count = 16
    learning_rate: Positive = 1e-4
    weight_decay: Weight = 0.0
    max_grad_norm: Positive = 1.0
    zero_stage: Literal[0, 1, 2, 3] = 2
    precision: Literal["fp32", "bf16"] = "fp32"
    world_size: Count = 1
    checkpoint_every: Count = 50
    log_every: Count = 10
    watch_every: Annotated[int, Field(ge=0)] = 25
    patience: Count | None = None


class Evaluation(Section):
    """The held-out judgement: ``count`` prompts with ``images_per_prompt`` seeds each."""

    prompts: str = "embedded"
    count: Count = 96
    images_per_prompt: Count = 2
    batch_size: Count = 32
    bootstrap_samples: Annotated[int, Field(ge=100)] = 2000
    gallery_count: Count = 12


class Recipe(Section):
    """A whole run. Every random number of it is derived from ``seed``."""

    name: Annotated[str, Field(min_length=1)]
    family: Literal["sd3"] = "sd3"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    teacher: Teacher = Teacher()
    student: Student = Student()
    rewards: Rewards
    method: Method = Method()
    trajectories: Trajectories = Trajectories()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        """Refuse values that are each allowed but cannot go together."""
        if self.training.batch_size % self.training.world_size:
            raise ValueError(
                f"training.batch_size {self.training.batch_size} does not divide among training.world_size "
                f"{self.training.world_size} ranks; make it a multiple"
            )
        if max(self.student.steps) > self.teacher.steps:
            raise ValueError(
                f"student.steps {self.student.steps} has more steps than teacher.steps {self.teacher.steps}; "
                "a student is the one with fewer"
            )
        if self.training.patience and not (self.training.watch_every and self.rewards.heldout):
            raise ValueError(
                f"training.patience {self.training.patience} waits for a better held-out score, and there is none; "
                "set training.watch_every and name a reward under rewards.heldout"
            )
        for label, values in (
            ("student.steps", self.student.steps),
            ("rewards", [spec.name for spec in (*self.rewards.train, *self.rewards.heldout)]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"{label} {values} names one thing twice; keep each once")
        return self


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a packaged recipe by name, or a YAML file by path, then apply overrides such as ``training.steps=20``.

    Raises:
        UserError: no such recipe, not YAML, an unknown key (the nearest one is named), or a value out of range.
    """
    path = Path(name_or_path).expanduser()
    if not path.is_file():
        path = _RECIPES / f"{name_or_path}.yaml"
    if not path.is_file():
        packaged = ", ".join(sorted(file.stem for file in _RECIPES.glob("*.yaml")))
        raise UserError(f"No recipe {name_or_path}: name a YAML file, or one of {packaged}.")
    values = _parse_yaml(path.read_text(), str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no keys: a recipe begins with `name:` and `rewards:`.")
    for override in overrides:
        _apply_override(values, override)
    return _validate(values, str(path))


def dump_recipe(recipe: Recipe) -> str:
    """The whole recipe as YAML, defaults included; `load_recipe` reads it back to an equal one."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def recipe_digest(recipe: Recipe) -> str:
    """12 hex digits that two recipes share exactly when every value in them is equal."""
    canonical = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{source} is not YAML: {' '.join(str(error).split())}") from error


def _apply_override(values: dict[str, Any], override: str) -> None:
    """Set one dotted key in place; what the key may be is left to the validation that follows."""
    dotted, equals, text = override.partition("=")
    *parents, last = dotted.strip().split(".")
    if not equals or not all((*parents, last)):
        raise UserError(f'Override "{override}" is not of the form key.key=value, for example training.steps=20.')
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise UserError(f'Override "{override}": {parent} is a single value and has no keys below it.')
    values[last] = _parse_yaml(text, f'Override "{override}"')


def _validate(values: Mapping[str, Any], source: str) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{source}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    """The first thing pydantic found, as one sentence with the dotted key, the value and what is allowed."""
    # A typo in a required key is both an unknown and a missing one: the typo is what to show.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        valid = _keys_beside(first["loc"])
        nearest = difflib.get_close_matches(str(first["loc"][-1]), valid, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"the keys here are {', '.join(valid)}."
        return f"unknown key {key}; {hint}"
    if first["type"] == "missing":
        return f"{key} is missing; add it."
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    return f"{message}." if first["type"] == "value_error" else f"{key} is {first['input']!r}; {message}."


def _keys_beside(location: Sequence[int | str]) -> list[str]:
    """The keys that are valid where ``location`` ends."""
    model: type[BaseModel] = Recipe
    for part in location[:-1]:
        if isinstance(part, str):
            model = _section_of(model.model_fields[part].annotation)
    return list(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel]:
    """The section class of a field that is one, or a list of them."""
    inner: type[BaseModel] = annotation if isinstance(annotation, type) else annotation.__args__[0]
    return inner
