"""The memory of all runs: curves, scorecard, pictures and the student's version, in MLflow.

KFP's MLflow integration hands every task a run by ``MLFLOW_RUN_ID``: that run is used and never ended. Without one, a
run of our own is kept in the tracker that ``MLFLOW_TRACKING_URI`` names, or in ``<workspace>/mlflow.db``.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from components.shared.students import STUDENT_TAG, Students
from components.shared.tracker import KEY_TAG, keyed_run, run_page, tracker
from components.shared.tracker_address import RUN_ID_VARIABLE
from rats_train.config import Recipe, recipe_digest
from rats_train.evaluation.gallery import WORST, Exhibit, read_worst
from rats_train.evaluation.pictures import to_picture
from rats_train.evaluation.scores import Scores
from rats_train.evaluation.watched import WATCH, read_watch
from rats_train.files import read_json, sha256_tree

EXPERIMENT = "rats"
BATCH = 1000
TILE = 256
"""Pixels of the longer side of a picture in a table."""
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
        # Not the time of entering: the tracker knows a number of the same step and time again.
        when = int(datetime.fromisoformat(card["provenance"]["created"]).timestamp() * 1000)
        metrics = [*_curves(log, when), *_looks(log, when), *_card_metrics(card, when), *_distances(card, when)]
        self._log(run_id, params=flatten(recipe.model_dump(mode="json")), metrics=metrics)
        facts = {"recipe_digest": recipe_digest(recipe), "evaluation_digest": card["evaluation_digest"]}
        for tag, value in (facts | {"commit": card["provenance"]["commit"]}).items():
            self._client.set_tag(run_id, f"rats.{tag}", value)
        for name in FILES:
            self._client.log_artifact(run_id, str(evaluation / name), "evaluation")
        self._log_table(run_id, _columns(card["categories"]), "evaluation/categories.json")
        worst = read_worst(evaluation, Scores.read(evaluation / "scores.json"), WORST)
        self._log_table(run_id, _pictured(worst), "evaluation/worst.json")
        self._client.log_artifacts(run_id, str(log), "training")
        self._register(recipe.name, run_id, student)
        if not given:
            self._client.set_terminated(run_id)
        return run_page(self._client, run_id)

    def _log(self, run_id: str, params: Mapping[str, Any], metrics: list[Metric]) -> None:
        self._client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def _log_table(self, run_id: str, columns: dict[str, list[Any]], file: str) -> None:
        """Enter a table once: MLflow would append the same rows."""
        if file not in {found.path for found in self._client.list_artifacts(run_id, "evaluation")}:
            self._client.log_table(run_id, columns, file)

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


def _curves(log: Path, when: int) -> Iterator[Metric]:
    for line in (log / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        step = values.pop("step")
        yield from (Metric(f"train/{name}", value, when, step) for name, value in values.items() if _is_number(value))


def _looks(log: Path, when: int) -> Iterator[Metric]:
    """What the watch saw on its held-out prompts."""
    for point in read_watch(log / WATCH):
        yield from (Metric(f"watch/{name}", point.mean(name), when, point.step) for name in point.kinds)


def _card_metrics(card: Mapping[str, Any], when: int) -> Iterator[Metric]:
    for part in ("nfe", "quality"):
        for budget, rewards in card[part].items():
            for reward, row in rewards.items():
                for name, value in row.items():
                    if _is_number(value):
                        yield Metric(f"{reward}/{name}", value, when, int(budget))


def _distances(card: Mapping[str, Any], when: int) -> Iterator[Metric]:
    """The distance of each student arm's pictures from the full teacher's, by its steps."""
    for arm in card["arms"].values():
        if arm["role"] == "student" and arm["distance"] is not None:
            yield Metric("distance/student", arm["distance"]["value"], when, arm["steps"])


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Rows as the columns that an MLflow table is made of."""
    names = ("tag", "category", "prompts", "budget", "metric", "kind", "student", "teacher_50", "gap_50", "ci95_50")
    return {name: [row[name] for row in rows] for name in names}


def _pictured(exhibits: Sequence[Exhibit]) -> dict[str, list[Any]]:
    """Prompts, seeds and pictures of every arm as columns; MLflow shows pictures in its tables."""
    columns: dict[str, list[Any]] = {
        "prompt": [one.prompt for one in exhibits],
        "seed": [one.seed for one in exhibits],
    }
    for number, tile in enumerate(exhibits[0].tiles):
        columns[f"{tile.role} {tile.steps}"] = [to_picture(one.tiles[number].image, TILE) for one in exhibits]
    return columns


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
