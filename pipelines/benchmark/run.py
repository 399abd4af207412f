"""Run the cases of a suite, each by the pipeline itself; what is done stays done."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from components.shared.keys import step_keys
from components.shared.workspace import publish, step_dir
from pipelines.benchmark.suite import Case
from pipelines.local import run_pipeline
from pipelines.runs import step_folder
from rats_train.files import read_json, write_json

DONE = "benchmark.json"
"""The workspace's memory of finished cases: run folder by content key."""


def run_cases(cases: Sequence[Case], workspace: Path, console: Console) -> Iterator[tuple[Case, Path]]:
    """Each case with its run folder, as soon as it is finished; an interrupted suite carries on at the case where it
    stopped.

    Raises:
        UserError, RetryableError, StepFailedError: as `run_pipeline`.
    """
    workspace, before = workspace.resolve(), None
    for number, case in enumerate(cases, start=1):
        console.rule(f"{case.method}, seed {case.seed}  ({number} of {len(cases)})", align="left")
        before = _run_case(case, before, workspace, console)
        yield case, before


def _run_case(case: Case, before: Path | None, workspace: Path, console: Console) -> Path:
    keys, done = step_keys(case.load()), _finished(workspace)
    known = workspace / done.get(keys["report"], "")
    if keys["report"] in done and (known / "scorecard.json").is_file():
        console.print(f"unchanged, reused from {known.name}")
        return known
    if before is not None:
        _lend_teacher(before, step_dir("evaluate_rewards", keys["evaluate_rewards"], workspace))
    run = run_pipeline(case.recipe, case.overrides, workspace, console)
    # Read again: another command may have finished a case here meanwhile.
    write_json(workspace / DONE, _finished(workspace) | {keys["report"]: run.name})
    return run


def _finished(workspace: Path) -> dict[str, str]:
    """Run folders by content key."""
    return dict(read_json(workspace / DONE)) if (workspace / DONE).is_file() else {}


def _lend_teacher(run: Path, evaluation: Path) -> None:
    """Hand the teacher's pictures on: another method is judged against the very same, if seed and settings agree.

    An evaluation takes over only what was drawn from the weights, prompts and seeds that it would draw from itself.
    """
    for arm in (step_folder(run, "evaluate_rewards") / "evaluation" / "arms").glob("teacher_*.safetensors"):
        target = evaluation / "evaluation" / "arms" / arm.name
        if not target.exists():
            publish(arm, target)
