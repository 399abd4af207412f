"""Students in a real MLflow with a file of its own: versions with scores, without anything drawn."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from components.shared.students import STUDENT_TAG, Students
from components.shared.tracker import KEY_TAG
from rats_train.evaluation.scores import Scores


@pytest.fixture(scope="session")
def empty_tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a tracker that holds nothing: its tables take seconds to make."""
    path = tmp_path_factory.mktemp("tracker") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


class Registry:
    """The students of a recipe in a tracker below ``folder``."""

    def __init__(self, uri: str, folder: Path, recipe: str = "emoji") -> None:
        self.client, self._folder = MlflowClient(uri), folder
        self.students = Students(self.client, recipe)
        self.client.create_registered_model(self.students.model)
        self._experiment = self.client.create_experiment("students", (folder / "artifacts").as_uri())

    def enter(self, scores: Scores, key: str, digest: str | None = None, student: Path | None = None) -> ModelVersion:
        """A new version with these scores; its files, where given, lie in ``student``."""
        run = self.client.create_run(self._experiment).info
        scores.write(self._folder / "entering" / "scores.json")
        self.client.log_artifact(run.run_id, str(self._folder / "entering" / "scores.json"), "evaluation")
        shutil.rmtree(self._folder / "entering")
        if student is not None:
            self.client.log_artifacts(run.run_id, str(student), "student")
        tags = {KEY_TAG: key, STUDENT_TAG: digest or key}
        source = f"{run.artifact_uri}/student"
        return self.client.create_model_version(self.students.model, source, run.run_id, tags=tags)

    def number(self, alias: str) -> int | None:
        """The number of the version that an alias names."""
        version = self.students.aliased(alias)
        return version and int(version.version)
