"""Reward models as registered models of MLflow: versioned, and each version frozen with its kind, digest and scale.

    with tracker() as client:
        version = RewardRegistry(client).find("hpsv2@3")

A version's tags say what it is; its files are those of a reward's folder. Nothing here changes a version once made.
"""

import difflib
from pathlib import Path
from typing import Annotated, Any, Self

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.shared.tracker import keyed_run
from rats_train.errors import UserError
from rats_train.recipe_rewards import RewardKind, Statistics
from rats_train.rewards.folder import REGISTERED

EXPERIMENT = "rats-rewards"
ROLE_TAG, ROLE = "rats.role", "reward"
FILES = "reward"


class RewardVersion(BaseModel):
    """One version of a registered reward.

    Attributes:
        digest: SHA-256 of its folder.
        licence: of its weights, as their owner calls it.
        measured_on: what its statistics were measured on: ``embedded``, or the digest of other pictures.
        created: milliseconds since 1970.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int
    kind: RewardKind
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    licence: str
    statistics: Statistics
    measured_on: str
    created: int
    run_id: str
    aliases: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """What a recipe calls it: ``hpsv2@3``."""
        return f"{self.name}@{self.version}"

    @classmethod
    def of(cls, found: ModelVersion, aliases: dict[str, Any]) -> Self:
        """Read what `RewardRegistry.add` wrote.

        Raises:
            UserError: the version was made by other means.
        """
        tags = {name.removeprefix("rats."): value for name, value in found.tags.items()}
        scale = {"mean": tags.get("mean"), "std": tags.get("std")}
        kept = {name: tags.get(name) for name in ("kind", "digest", "licence", "measured_on")}
        try:
            return cls(
                name=found.name,
                version=int(found.version),
                statistics=Statistics.model_validate(scale),
                created=found.creation_timestamp,
                run_id=found.run_id,
                aliases=tuple(sorted(alias for alias, version in aliases.items() if version == found.version)),
                **kept,
            )
        except ValidationError as error:
            raise UserError(
                f"Version {found.version} of {found.name} is no reward that `rats reward register` made: register its "
                "folder with that command."
            ) from error


class RewardRegistry:
    """The rewards in one tracker; ``root`` is the workspace that keeps the files of a tracker without a server."""

    def __init__(self, client: MlflowClient, root: Path | None = None) -> None:
        self._client, self._root = client, root

    def names(self) -> list[str]:
        """Names of all registered rewards, sorted."""
        found = self._client.search_registered_models(f"tags.`{ROLE_TAG}` = '{ROLE}'")
        return sorted(model.name for model in found)

    def versions(self, name: str) -> list[RewardVersion]:
        """All versions of one reward, the oldest first; none if there is no such reward.

        Raises:
            UserError: a version was made by other means.
        """
        found = self._client.search_model_versions(f"name = '{name}'")
        aliases = self._client.get_registered_model(name).aliases if found else {}
        return sorted((RewardVersion.of(each, aliases) for each in found), key=lambda each: each.version)

    def find(self, path: str) -> RewardVersion:
        """The version that ``hpsv2@3`` names.

        An alias is refused: it moves, so a recipe that named one would mean another reward next month under the same
        digest, and a finished run could not be repeated.

        Raises:
            UserError: there is no such reward or version, or it is named by an alias.
        """
        match = REGISTERED.fullmatch(path)
        assert match is not None
        name, wanted = match["name"], match["version"]
        versions = self.versions(name)
        if not versions:
            raise UserError(f"There is no registered reward {name}{self._near(name)}.")
        newest = versions[-1].path
        found = {str(each.version): each for each in versions}
        if wanted in found:
            return found[wanted]
        pointed = next((each.path for each in versions if wanted in each.aliases), None)
        if pointed:
            raise UserError(f"{path} names an alias, which moves: write {pointed}, where it points now.")
        raise UserError(f"{name} has no version {wanted}: write a number, such as that of the newest, {newest}.")

    def add(
        self, name: str, folder: Path, *, kind: RewardKind, digest: str, licence: str, statistics: Statistics,
        measured_on: str,
    ) -> RewardVersion:  # fmt: skip
        """Make the files in ``folder`` the next version of ``name``; an interrupted attempt is taken up again.

        Raises:
            UserError: ``name`` is a registered model, and no reward.
        """
        self._make_model(name)
        run_id = keyed_run(self._client, EXPERIMENT, f"{name} {digest}", name, self._root)
        self._client.log_artifacts(run_id, str(folder), FILES)
        tags = {"kind": kind, "digest": digest, "licence": licence, "measured_on": measured_on}
        tags |= {"mean": repr(statistics.mean), "std": repr(statistics.std)}
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{FILES}"
        made = self._client.create_model_version(
            name, source, run_id, tags={f"rats.{tag}": value for tag, value in tags.items()}
        )
        self._client.set_terminated(run_id)
        return RewardVersion.of(made, {})

    def download(self, version: RewardVersion, target: Path) -> Path:
        """Put the files of a version into the folder ``target``; returns where they lie in it."""
        return Path(self._client.download_artifacts(version.run_id, FILES, str(target)))

    def _make_model(self, name: str) -> None:
        try:
            self._client.create_registered_model(name, tags={ROLE_TAG: ROLE})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            if self._client.get_registered_model(name).tags.get(ROLE_TAG) != ROLE:
                raise UserError(f"{name} is a registered model that is no reward: choose another name.") from error

    def _near(self, name: str) -> str:
        """What to do about a name that nobody registered."""
        close = difflib.get_close_matches(name, self.names(), n=1)
        if close:
            return f"; did you mean {close[0]}? `rats reward list` shows them all"
        return ": make one with `rats reward register`, and see those there are with `rats reward list`"
