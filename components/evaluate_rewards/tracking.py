"""The memory of all runs: curves, scorecard, pictures and the student's version, in MLflow.

KFP's MLflow integration hands every task a run by ``MLFLOW_RUN_ID``: that run is used and never ended. Without one, a
run of our own is kept in the tracker that ``MLFLOW_TRACKING_URI`` names, or in ``<workspace>/mlflow.db``.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from components.shared.students import STUDENT_TAG, Students
from components.shared.tracker import KEY_TAG, keyed_run, run_page, tracker
from components.shared.tracker_address import RUN_ID_VARIABLE
from rats_train.config import Recipe, recipe_digest
from rats_train.evaluation.watched import WATCH, read_watch
from rats_train.files import read_json, sha256_tree

EXPERIMENT = "rats"
BATCH = 1000
FILES = ("scorecard.json", "scores.json", "grid.png", "worst.png", "curves.png", "gallery.html")


def track(recipe: Recipe, *, student: Path, log: Path, evaluation: Path, key: str) -> str:
    """Enter a trained and evaluated student, and return the page of its run; the same ``key`` again changes nothing.

    Raises:
        RetryableError: the tracker did not take it.
    """
    with tracker() as client:
        return _Tracker(client, key).enter(recipe, student, log, evaluation)


class _Tracker:
    def __init__(self, client: MlflowClient, key: str) -> None:
        self._client, self._key = client, key

    def enter(self, recipe: Recipe, student: Path, log: Path, evaluation: Path) -> str:
        given = os.environ.get(RUN_ID_VARIABLE)
        run_id = given or keyed_run(self._client, EXPERIMENT, self._key, f"{recipe.name}-{self._key[:8]}")
        card = read_json(evaluation / "scorecard.json")
        metrics = [*_curves(log), *_looks(log), *_card_metrics(card), *_distances(card)]
        self._log(run_id, params=flatten(recipe.model_dump(mode="json")), metrics=metrics)
        facts = {"recipe_digest": recipe_digest(recipe), "evaluation_digest": card["evaluation_digest"]}
        for tag, value in (facts | {"commit": card["provenance"]["commit"]}).items():
            self._client.set_tag(run_id, f"rats.{tag}", value)
        for name in FILES:
            self._client.log_artifact(run_id, str(evaluation / name), "evaluation")
        self._client.log_table(run_id, _columns(card["categories"]), "evaluation/categories.json")
        self._client.log_artifacts(run_id, str(log), "training")
        self._register(recipe.name, run_id, student)
        if not given:
            self._client.set_terminated(run_id)
        return run_page(self._client, run_id)

    def _log(self, run_id: str, params: Mapping[str, Any], metrics: list[Metric]) -> None:
        self._client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def _register(self, name: str, run_id: str, student: Path) -> None:
        """Make the student a version of the registered model of recipe ``name``, unless this key is one already."""
        students = Students(self._client, name)
        try:
            self._client.create_registered_model(students.model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        if any(version.tags.get(KEY_TAG) == self._key for version in students.versions()):
            return
        self._client.log_artifacts(run_id, str(student), "student")
        source = f"{self._client.get_run(run_id).info.artifact_uri}/student"
        tags = {KEY_TAG: self._key, STUDENT_TAG: sha256_tree(student)}
        self._client.create_model_version(students.model, source, run_id, tags=tags)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted names; a list stays one value."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _curves(log: Path) -> Iterator[Metric]:
    now = int(time.time() * 1000)
    for line in (log / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        step = values.pop("step")
        yield from (Metric(f"train/{name}", value, now, step) for name, value in values.items() if _is_number(value))


def _looks(log: Path) -> Iterator[Metric]:
    """What the watch saw on its held-out prompts."""
    now = int(time.time() * 1000)
    for point in read_watch(log / WATCH):
        yield from (Metric(f"watch/{name}", point.mean(name), now, point.step) for name in point.kinds)


def _card_metrics(card: Mapping[str, Any]) -> Iterator[Metric]:
    now = int(time.time() * 1000)
    for part in ("nfe", "quality"):
        for budget, rewards in card[part].items():
            for reward, row in rewards.items():
                for name, value in row.items():
                    if _is_number(value):
                        yield Metric(f"{reward}/{name}", value, now, int(budget))


def _distances(card: Mapping[str, Any]) -> Iterator[Metric]:
    """The distance of each student arm's pictures from the full teacher's, by its steps."""
    now = int(time.time() * 1000)
    for arm in card["arms"].values():
        if arm["role"] == "student" and arm["distance"] is not None:
            yield Metric("distance/student", arm["distance"]["value"], now, arm["steps"])


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows as the columns that an MLflow table is made of."""
    names = ("tag", "category", "prompts", "budget", "metric", "kind", "student", "teacher_50", "gap_50", "ci95_50")
    return {name: [row[name] for row in rows] for name in names}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
