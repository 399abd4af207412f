"""A suite: which methods are compared, over how many prompts; a YAML file under ``benchmarks/``.

recipe: emoji
common: [evaluation.count=512]
methods:
  rats: []
  reward_only: [method.name=reward_only]
seeds: {reward_only: 3}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import yaml
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError, model_validator

from rats_train.config import Recipe, load_recipe
from rats_train.errors import UserError

SUITES: Final = Path(__file__).parents[2] / "benchmarks"


class Suite(BaseModel):
    """Methods by name, each a list of changes to the recipe; ``common`` changes it for all of them.

    ``seeds`` names methods that are not trained with more seeds than that, however many are asked for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    common: list[str] = []
    methods: dict[str, list[str]]
    seeds: dict[str, PositiveInt] = {}

    @model_validator(mode="after")
    def _seeds_are_of_its_methods(self) -> Self:
        unknown = sorted(set(self.seeds) - set(self.methods))
        if unknown:
            raise ValueError(f"seeds names {', '.join(unknown)}, which is none of its methods")
        return self


@dataclass(frozen=True)
class Case:
    """One method with one seed, as changes to the recipe of that name."""

    method: str
    seed: int
    recipe: str
    overrides: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int]:
        """Method and seed."""
        return self.method, self.seed

    def load(self) -> Recipe:
        """The recipe of this case."""
        return load_recipe(self.recipe, self.overrides)


def load_suite(name: str) -> Suite:
    """The suite ``benchmarks/<name>.yaml``, or the YAML file that ``name`` is.

    Raises:
        UserError: there is no such suite, or it is not one.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else SUITES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SUITES.glob("*.yaml")))
        raise UserError(f"No suite {name}: choose from {known}, or name a YAML file.")
    try:
        return Suite.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not a suite ({reason}): write recipe and methods, as methods.yaml does.") from error


def plan_cases(suite: Suite, seeds: int) -> list[Case]:
    """Every method with the seeds 0 to ``seeds - 1``, or with as many as its suite allows.

    The methods of a seed stand together, for they share its teacher.

    Raises:
        UserError: a change that the recipe does not take.
    """
    cases = [
        Case(method, seed, suite.recipe, (*suite.common, *changes, f"seed={seed}"))
        for seed in range(seeds)
        for method, changes in suite.methods.items()
        if seed < suite.seeds.get(method, seeds)
    ]
    for case in cases:
        case.load()
    return cases


def choose_cases(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """The cases that ``names`` name, by method or by method and seed (``rats:3``).

    Raises:
        UserError: there is no such case.
    """
    chosen = [case for case in cases if {case.method, f"{case.method}:{case.seed}"} & set(names)]
    for name in names:
        if not any(name in (case.method, f"{case.method}:{case.seed}") for case in chosen):
            known = ", ".join(f"{case.method}:{case.seed}" for case in cases)
            raise UserError(f"No case {name}: write a method, or one of {known}.")
    return chosen
