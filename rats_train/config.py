"""The recipe: everything a run depends on, typed, with an error that names the nearest key for every typo.

recipe = load_recipe("emoji", ["training.steps=20"])
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from rats_train.errors import UserError
from rats_train.recipe_error import explain
from rats_train.recipe_methods import Method, RatsMethod, method_section
from rats_train.recipe_rewards import PACKAGED_KINDS, Rewards
from rats_train.recipe_section import Count, Positive, Section, Seed, Weight
from rats_train.resolution import Resolution

_RECIPES = Path(__file__).parent / "recipes"


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

    steps: list[Annotated[int, Field(ge=2, le=1000)]] = Field(default_factory=lambda: [3, 5, 8], min_length=1)
    terminal_sigma: Annotated[float, Field(gt=0, lt=1)] = 0.25


class Trajectories(Section):
    """The teacher rollouts to store: ``prompts`` is ``embedded`` or a text file with one prompt a line.

    ``seed`` decides prompts and noise; null takes the recipe's. Named, trainings of several seeds share one store.
    """

    prompts: str = "embedded"
    seed: Seed | None = None
    count: Count = 480
    batch_size: Count = 32
    shard_size: Count = 120


class Lora(Section):
    """Adapters of rank ``rank`` on the teacher's frozen transformer, scaled by ``alpha`` / ``rank`` (null: by 1).

    ``targets`` are ends of names of its linear layers, such as ``attn.to_q``; null takes the projections of attention
    and feed-forward.
    """

    rank: Count = 64
    alpha: Count | None = None
    targets: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = None

    @property
    def scale(self) -> float:
        """The factor of the adapter's product."""
        return (self.alpha or self.rank) / self.rank


class Training(Section):
    """The optimiser and the machine; ``batch_size`` counts all ranks together.

    ``learning_rate`` is the peak: reached after a twentieth of the steps, then a cosine down to a hundredth of it.
    What is watched and exported is the average of the student's weights that follows them by ``ema_decay`` a step
    (0: the weights themselves).

    ``recompute`` trades time for memory: no activations are kept of a student ``step``, of a transformer ``block``, or
    of either (``both``); they are computed again on the way back. ``compile`` compiles the transformer's repeated
    block. ``offload_text_encoders`` encodes all prompts before the first step and then moves the encoders off the
    accelerator.

    Every ``watch_every`` steps (0: never) the student draws a few held-out prompts. The latest look that is as good as
    the best on the held-out rewards, to one standard error, is exported; after ``patience`` looks without a new best
    training ends (null: it does not).

    ``lora`` trains adapters in place of whole transformers; null trains all weights.
    """

    steps: Count = 300
    batch_size: Count = 16
    learning_rate: Positive = 1e-4
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.97
    weight_decay: Weight = 0.0
    max_grad_norm: Positive = 1.0
    zero_stage: Literal[0, 1, 2, 3] = 2
    precision: Literal["fp32", "bf16"] = "fp32"
    recompute: Literal["none", "step", "block", "both"] = "none"
    compile: bool = False
    offload_text_encoders: bool = False
    world_size: Count = 1
    checkpoint_every: Count = 50
    log_every: Count = 10
    watch_every: Annotated[int, Field(ge=0)] = 25
    patience: Count | None = None
    lora: Lora | None = None


class Evaluation(Section):
    """The held-out judgement: ``count`` prompts with ``images_per_prompt`` seeds each."""

    prompts: str = "embedded"
    count: Count = 96
    images_per_prompt: Count = 2
    batch_size: Count = 32
    bootstrap_samples: Annotated[int, Field(ge=100)] = 2000
    gallery_count: Count = 12


class Recipe(Section):
    """A whole run. Every random number of it is derived from ``seed``; ``resolution`` is what teacher and student draw,
    null the teacher's own default."""

    name: Annotated[str, Field(min_length=1)]
    family: Literal["sd3", "flux", "wan"] = "sd3"
    resolution: Resolution | None = None
    seed: Seed = 0
    teacher: Teacher = Teacher()
    student: Student = Student()
    rewards: Rewards
    method: Method = RatsMethod()
    trajectories: Trajectories = Trajectories()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()

    @property
    def guidance_is_input(self) -> bool:
        """Whether the transformer is told the guidance scale (FLUX.1-dev), so that any scale costs one evaluation."""
        return self.family == "flux"

    @property
    def teacher_evaluations(self) -> int:
        """Transformer evaluations of the teacher a step: classifier-free guidance takes two."""
        return 1 if self.guidance_is_input or self.teacher.guidance_scale == 1 else 2

    @property
    def student_guidance_scale(self) -> float:
        """What the student draws with: no guidance, or what its teacher is told."""
        return self.teacher.guidance_scale if self.guidance_is_input else 1.0

    @property
    def stored_rollouts(self) -> int:
        """Rollouts of the teacher in the store: none where it is rolled out anew in every training step."""
        return 0 if self.teacher.source == "ema" else self.trajectories.count

    @property
    def trajectory_seed(self) -> int:
        """What the prompts and noise of the rollouts are derived from."""
        return self.seed if self.trajectories.seed is None else self.trajectories.seed

    @model_validator(mode="after")
    def _rewards_fit_method(self) -> Self:
        """Refuse a reward without gradient where the method goes back through it."""
        blind = [spec for spec in self.rewards.train if spec.kind in PACKAGED_KINDS]
        if blind and self.method.needs_gradient:
            raise ValueError(
                f"method {self.method.name} goes back through the gradient of every reward, and {blind[0].name} (kind "
                f"{blind[0].kind}) has none; put it under rewards.heldout, or set method.name to rats_grpo or grpo"
            )
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        """Refuse values that are each allowed but cannot go together."""
        if self.training.batch_size % self.training.world_size:
            raise ValueError(
                f"training.batch_size {self.training.batch_size} does not divide among training.world_size "
                f"{self.training.world_size} ranks; make it a multiple"
            )
        if self.teacher.source == "ema" and not self.method.follows_student:
            raise ValueError(
                f"method {self.method.name} has no teacher that could follow the student, and measures its gap "
                "against the store; set teacher.source to store"
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

    ``method.name=grpo`` replaces the whole section of another method by the defaults of this one; other overrides
    apply on top of it, whatever their order.

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
    for override in sorted(overrides, key=lambda override: not _names_method(override)):
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
    value = _parse_yaml(text, f'Override "{override}"')
    if _names_method(override) and value != values.get("name", RatsMethod().name):
        values.clear()  # the keys of one method mean nothing to another
    values[last] = value


def _names_method(override: str) -> bool:
    return override.partition("=")[0].strip() == "method.name"


def _validate(values: Mapping[str, Any], source: str) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{source}: {explain(error, Recipe, _named_method(values))}") from error


def _named_method(values: Mapping[str, Any]) -> type[Section]:
    """The section of the method that a recipe's values name, as far as they name one."""
    method = values.get("method")
    try:
        return method_section(str(method.get("name", "rats"))) if isinstance(method, dict) else RatsMethod
    except ValueError:
        return RatsMethod
