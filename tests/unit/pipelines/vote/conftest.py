"""A run with an evaluation to vote on; its pictures are synthetic discs."""

import shutil
from pathlib import Path

import pytest

from pipelines.vote.ballot import Ballot
from pipelines.vote.contestants import find_contestants
from rats_train.evaluation.report import write_report
from rats_train.evaluation.scores import Scores
from rats_train.evaluation.verdict import judge
from rats_train.files import write_json
from tests.unit.evaluation.conftest import build_card, evaluation_dir, make_card, make_scores  # noqa: F401


@pytest.fixture
def workspace(evaluation_dir: Path, tmp_path: Path) -> Path:  # noqa: F811
    """A workspace whose run ``r`` has judged its student and reported."""
    root = tmp_path / "workspace"
    make_run(root, "r", evaluation_dir)
    return root


def make_run(root: Path, name: str, evaluation: Path) -> Path:
    """A run over the files of an evaluation, as the pipeline leaves it."""
    run, step = root / name, root / "cache" / "evaluate_rewards" / name
    for part in ("arms", "scores.json", "scorecard.json"):
        source, target = evaluation / part, step / "evaluation" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    write_json(run / "run.json", {"id": name, "status": "succeeded"})
    write_json(run / "steps" / "evaluate_rewards.json", {"name": "evaluate_rewards", "folder": str(step)})
    shutil.copyfile(evaluation / "scorecard.json", run / "scorecard.json")
    verdict = judge(Scores.read(evaluation / "scores.json"), None)
    write_report(run / "report.html", evaluation=evaluation, verdict=verdict, gallery_count=1)
    return run


@pytest.fixture
def ballot(workspace: Path) -> Ballot:
    """The run's student against its teacher at three steps: 24 prompts, two seeds each."""
    return Ballot(*find_contestants(workspace, "r:student_3", "r:teacher_3"))
