"""Run the pipeline on this machine: KFP's own local runner over the same pipeline object that a cluster runs.

run = run_pipeline("emoji", ["training.steps=20"], Path("runs"), console)
"""

import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console

from components.shared.code import ROOT
from components.shared.process import spare_collector
from components.shared.workspace import RUN_VARIABLE, RUNNER_VARIABLE, WORKSPACE_VARIABLE, publish
from pipelines.compiled import load_pipeline
from pipelines.errors import StepFailedError
from pipelines.runs import RESULTS, create_run, read_steps
from pipelines.view import live_view
from rats_train.config import load_recipe, recipe_digest
from rats_train.errors import KNOWN, RetryableError
from rats_train.files import read_json, write_json

LOG = "pipeline.log"
# One task draws all trajectories: tasks on one machine share its cores, and each would load the teacher anew.
HERE = {"trajectory_tasks": 1}


def run_pipeline(recipe: str, overrides: Sequence[str], workspace: Path, console: Console) -> Path:
    """Run every step that is not done yet, showing how far it is; returns the run's folder.

    Raises:
        UserError: a mistake in the recipe or in what it names.
        RetryableError: a step was interrupted; the same command carries on.
        StepFailedError: a step failed.
    """
    from components.prepare.resolve import resolve
    from rats_train.provenance import source_commit

    spare_collector()
    workspace = workspace.resolve()
    loaded = resolve(load_recipe(recipe, overrides), workspace)
    about = {
        "commit": source_commit(),
        "recipe": loaded.name,
        "recipe_digest": recipe_digest(loaded),
        "overrides": list(overrides),
    }
    run = create_run(workspace, loaded.name, about)
    console.print(f"Run {run.name}; what its steps print goes to {run / LOG}.", highlight=False, soft_wrap=True)
    with live_view(run, console), _recorded(run), (run / LOG).open("w", buffering=1) as log, redirect_stdout(log):
        arguments = {"recipe": recipe, "overrides": list(overrides)} | HERE
        run_by_kfp("train_and_deploy", arguments, run, workspace)
    return run


def run_by_kfp(pipeline: str, arguments: Mapping[str, Any], run: Path, workspace: Path) -> None:
    """Run one of the pipelines in KFP's local runner; what its steps hand out lies in ``run/kfp``.

    Raises:
        RuntimeError: a step failed; its record in ``run/steps`` says why.
    """
    from kfp import local

    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(run / "kfp"), raise_on_error=True)
    with _environment(step_environment(run, workspace)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_pipeline(pipeline)(**arguments)


def step_environment(run: Path, workspace: Path) -> dict[str, str]:
    """What the processes of the steps inherit: their places, this very copy of our code, and calm tokenizers."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        WORKSPACE_VARIABLE: str(workspace),
        RUN_VARIABLE: str(run),
        RUNNER_VARIABLE: str(os.getpid()),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "TOKENIZERS_PARALLELISM": "false",
    }


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _recorded(run: Path) -> Iterator[None]:
    """Whatever becomes of the run, leave a run.json that says it, and the results that exist beside it."""
    began = time.monotonic()
    status, error = "failed", ""
    try:
        yield
        status = "succeeded"
    except KeyboardInterrupt:
        status, error = "interrupted", "stopped by hand"
        raise
    except Exception as cause:
        failure = _failure(run, cause)
        error = str(failure)
        raise failure from cause
    finally:
        values = read_json(run / "run.json") | {"status": status, "seconds": round(time.monotonic() - began, 3)}
        values |= _publish_results(run, status)
        write_json(run / "run.json", values | ({"error": error} if error else {}))


def _publish_results(run: Path, status: str) -> dict[str, Any]:
    """Link the results of finished steps into the run's folder; returns their paths (null where there is none)."""
    steps = {step["name"]: step for step in read_steps(run, status)}
    paths: dict[str, Any] = {}
    for name, (step, source, target) in RESULTS.items():
        done = steps[step]["status"] == "succeeded"
        if done:
            publish(Path(steps[step]["folder"]) / source, run / target)
        paths[name] = str(run / target) if done else None
    kept = ("name", "status", "seconds", "cached")
    paths["steps"] = [{key: step[key] for key in kept} for step in steps.values()]
    return paths


def _failure(run: Path, cause: Exception) -> Exception:
    """The reason that the failed step recorded, as the error that ends this program with the right status."""
    failed = [step for step in read_steps(run, "failed") if step["status"] == "failed"]
    if not failed:
        return cause
    step = failed[0]
    if "error" not in step:
        reason = "its process was killed, perhaps for want of memory; `rats run` again carries on where it stopped"
        return RetryableError(f"{step['name']}: {reason}.")
    reason = " ".join(step["error"].split())
    if step["exit_code"] in KNOWN:
        return KNOWN[step["exit_code"]](f"{step['name']}: {reason}")
    return StepFailedError(f"{step['name']} failed: {reason.rstrip('.')}. The whole log is {run / LOG}.")
