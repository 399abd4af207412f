"""What the trigger is told: which recipe is trained again when which reward has a new version.

    experiment: rats
    retrain:
      - reward: hpsv2
        recipe: sd35_medium
        overrides: [training.steps=2000]
        cluster: {nodes: 2, gpus_per_node: "8"}

The secret of the webhook is no part of it: it comes from the environment, as ``RATS_WEBHOOK_SECRET``.
"""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.trigger.ledger import Version
from rats_train.config import load_recipe
from rats_train.errors import UserError

SECRET_VARIABLE = "RATS_WEBHOOK_SECRET"
SHORTEST_SECRET = 16


class Retraining(BaseModel):
    """A recipe that is trained again for each new version of a reward that it trains on.

    Attributes:
        cluster: parameters of the pipeline beside reward and recipe, such as ``gpus_per_node``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reward: str
    recipe: str
    overrides: list[str] = []
    cluster: dict[str, str | int] = {}


class Settings(BaseModel):
    """The settings of the trigger."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    experiment: str = "rats"
    poll_seconds: float = Field(default=60.0, gt=0)
    retrain: list[Retraining] = Field(min_length=1)

    def of(self, reward: str) -> Retraining | None:
        """What is trained again for a reward; None if nothing."""
        return next((each for each in self.retrain if each.reward == reward), None)


def read_settings(file: Path) -> Settings:
    """The settings in a file, each recipe of which was looked at.

    Raises:
        UserError: the file or a recipe cannot be read, or a recipe does not train on the reward that is to start it.
    """
    try:
        settings = Settings.model_validate(yaml.safe_load(file.read_text()))
    except FileNotFoundError as error:
        raise UserError(f"No file {file}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{file}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from error
    rewards = [each.reward for each in settings.retrain]
    if twice := next((name for name in rewards if rewards.count(name) > 1), None):
        raise UserError(f"{file} names the reward {twice} twice: one new version starts one retraining.")
    for each in settings.retrain:
        parameters(each, Version(each.reward, 1))
    return settings


def parameters(retraining: Retraining, version: Version) -> dict[str, Any]:
    """Parameters of the pipeline ``retrain_on_new_reward`` for a version: the recipe, with the new version in it.

    Raises:
        UserError: the recipe trains on no version of that reward.
    """
    specs = load_recipe(retraining.recipe, retraining.overrides).rewards.train
    if not any(_names(spec.path, version.reward) for spec in specs):
        raise UserError(
            f"Recipe {retraining.recipe} does not train on {version.reward}: give one of its rewards.train the path "
            f"{version.reward}@1 (or a later version)."
        )
    train = [
        spec.model_dump(mode="json", exclude_unset=True)
        | ({"path": str(version)} if _names(spec.path, version.reward) else {})
        for spec in specs
    ]
    overrides = [*retraining.overrides, f"rewards.train={json.dumps(train)}"]
    return {**retraining.cluster, "reward": str(version), "recipe": retraining.recipe, "overrides": overrides}


def _names(path: str | None, reward: str) -> bool:
    return path is not None and path.rpartition("@")[0] == reward
