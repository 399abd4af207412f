"""The students of a recipe in MLflow: versions of the registered model ``rats-<recipe>``, one of them the champion.

The alias ``champion`` names the version that serves, ``challenger`` the newest that was judged and does not serve.
What was decided about a version stays with it as tags, so that a promotion can be taken back.
"""

from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from components.shared.tracker import KEY_TAG
from components.shared.tracker_address import tracker_place
from components.shared.workspace import workspace
from rats_train.errors import UserError

CHAMPION, CHALLENGER = "champion", "challenger"
STUDENT_TAG = "rats.student_digest"
VERDICT_TAG = "rats.verdict"
REPLACED_TAG = "rats.replaced"
ROLLED_BACK_TAG = "rats.rolled_back"


class Students:
    """The versions of one recipe's registered model."""

    def __init__(self, client: MlflowClient, recipe_name: str) -> None:
        self.client, self.model = client, f"rats-{recipe_name}"

    def versions(self) -> list[ModelVersion]:
        """All versions, the newest first."""
        found = self.client.search_model_versions(f"name = '{self.model}'")
        return sorted(found, key=lambda version: int(version.version), reverse=True)

    def of_key(self, key: str) -> ModelVersion:
        """The version that was entered for the content ``key`` of its evaluation.

        Raises:
            UserError: it was not entered into this tracker.
        """
        for version in self.versions():
            if version.tags.get(KEY_TAG) == key:
                return version
        raise UserError(
            f"MLflow at {tracker_place()} has no version of {self.model} with the key {key}: its evaluation was "
            f"entered elsewhere. Delete {workspace() / 'cache' / 'evaluate_rewards' / key / 'complete.json'} and run "
            "again."
        )

    def page(self, version: ModelVersion) -> str:
        """The page of a version in MLflow, for `components.shared.tracker_address.tracker_line`."""
        return f"models/{self.model}/versions/{version.version}"

    def version(self, number: int) -> ModelVersion:
        """The version of a number.

        Raises:
            UserError: there is none.
        """
        for version in self.versions():
            if int(version.version) == number:
                return version
        known = ", ".join(str(version.version) for version in reversed(self.versions())) or "none"
        raise UserError(f"{self.model} has no version {number} in MLflow at {tracker_place()}; it has {known}.")

    def aliased(self, alias: str) -> ModelVersion | None:
        """The version that an alias names, if any."""
        found = self.client.search_registered_models(f"name = '{self.model}'")
        number = found[0].aliases.get(alias) if found else None
        return None if number is None else self.version(int(number))

    def opponent(self, version: ModelVersion) -> ModelVersion | None:
        """The version that this one has to beat: the champion, or where it is champion itself the one before it."""
        champion = self.aliased(CHAMPION)
        if champion is None or not self.same_student(version, champion):
            return champion
        before = champion.tags.get(REPLACED_TAG)
        return None if before is None else self.version(int(before))

    def same_student(self, one: ModelVersion, other: ModelVersion) -> bool:
        """Whether two versions hold the same files."""
        digest = one.tags.get(STUDENT_TAG)
        return one.version == other.version or (digest is not None and digest == other.tags.get(STUDENT_TAG))

    def keys(self, version: ModelVersion) -> set[str]:
        """The content keys of all evaluations of this version's student."""
        return {other.tags.get(KEY_TAG, "") for other in self.versions() if self.same_student(version, other)}

    def rolled_back(self, version: ModelVersion) -> str | None:
        """When the student of this version was taken back by hand, if it was."""
        times = [other.tags.get(ROLLED_BACK_TAG) for other in self.versions() if self.same_student(version, other)]
        return next((time for time in times if time), None)

    def judged(self, version: ModelVersion, decision: str) -> None:
        """Remember what was decided about a version, and that it is the challenger unless it is the champion."""
        self._tag(version, VERDICT_TAG, decision)
        champion = self.aliased(CHAMPION)
        if champion is None or not self.same_student(version, champion):
            self._point(CHALLENGER, version)

    def promote(self, version: ModelVersion) -> None:
        """Make a version the champion, and remember which one it replaces. Again changes nothing."""
        before = self.aliased(CHAMPION)
        if before is not None and self.same_student(version, before):
            return
        for other in self.versions():
            if self.same_student(version, other) and ROLLED_BACK_TAG in other.tags:
                self.client.delete_model_version_tag(self.model, other.version, ROLLED_BACK_TAG)
        if before is not None:
            self._tag(version, REPLACED_TAG, str(before.version))
        self._point(CHAMPION, version)
        challenger = self.aliased(CHALLENGER)
        if challenger is not None and challenger.version == version.version:
            self.client.delete_registered_model_alias(self.model, CHALLENGER)

    def roll_back(self) -> tuple[ModelVersion, ModelVersion]:
        """Make the champion's predecessor the champion again; returns the former champion and the new one.

        Raises:
            UserError: there is no champion, or none was before it.
        """
        champion = self.aliased(CHAMPION)
        if champion is None:
            raise UserError(
                f"{self.model} has no champion in MLflow at {tracker_place()}: there is nothing to roll back."
            )
        before = champion.tags.get(REPLACED_TAG)
        if before is None:
            raise UserError(f"Version {champion.version} is the first champion of {self.model}: none was before it.")
        previous = self.version(int(before))
        self._point(CHAMPION, previous)
        self._tag(champion, ROLLED_BACK_TAG, datetime.now(UTC).isoformat(timespec="seconds"))
        return champion, previous

    def download(self, version: ModelVersion, artifact: str, folder: Path) -> Path:
        """A file or folder that the version's run holds, such as ``student``, copied below ``folder``.

        Raises:
            UserError: it was made by other means, so that it has no run.
        """
        if version.run_id is None:
            raise UserError(
                f"Version {version.version} of {self.model} in MLflow belongs to no run, so it holds no {artifact}: "
                "give its alias to a version that a run of ours made."
            )
        folder.mkdir(parents=True, exist_ok=True)
        return Path(self.client.download_artifacts(version.run_id, artifact, str(folder)))

    def _tag(self, version: ModelVersion, name: str, value: str) -> None:
        self.client.set_model_version_tag(self.model, version.version, name, value)

    def _point(self, alias: str, version: ModelVersion) -> None:
        self.client.set_registered_model_alias(self.model, alias, version.version)
