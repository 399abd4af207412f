"""What became of a run, in words: what went wrong and what to change, or that all is well.

    console.print(findings_table(diagnose(locate(workspace, "latest"))))

A run is a folder of the pipeline, or a folder that `rats_train.engine.train` wrote; both are read, nothing is run.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.doctor.findings import Finding
from pipelines.runs import read_run
from rats_train.engine.failure import FAILURE
from rats_train.engine.records import METRICS, read_lines
from rats_train.errors import OutOfMemoryError, RetryableError, UserError
from rats_train.evaluation.alarms import ALARMS, read_alarms
from rats_train.evaluation.curves import crossing, read_curve, smooth
from rats_train.evaluation.verdict import Reason, Verdict
from rats_train.evaluation.watched import WATCH, WatchPoint, as_good, best_point, read_watch
from rats_train.files import read_json

RESULT = "result.json"
_CLOSING = 0.1
_AGAIN = "run the same command again: it carries on from what is finished"
_LONGER = "train longer (training.steps), or name a second reward under rewards.train if the trained one is up"
_GATE_CURES = {
    "better": _LONGER,
    "not worse": _LONGER,
    "close": _LONGER,
    "reward hacking": "add a reward of another kind under rewards.train, raise method.alpha, or train for less",
    "diverse": "raise method.alpha or method.tau, so that the teacher holds on longer",
    "safe": "look at the pictures of the report; lower the weight of the reward that asks for them",
    "rolled back": "train another student, or bring this one back by hand",
    "not comparable": "do what it says",
}


def locate(workspace: Path, run: str) -> Path:
    """Folder of a run, by name in the workspace, as ``latest``, or by path.

    Raises:
        UserError: there is no such run.
    """
    for folder in (workspace / run, Path(run).expanduser()):
        if any((folder / name).is_file() for name in ("run.json", METRICS, FAILURE)):
            return folder.resolve()
    raise UserError(
        f"No run {run}, neither in {workspace} nor as a folder: `rats run` starts one, `ls {workspace}` shows them."
    )


def diagnose(run: Path) -> list[Finding]:
    """Every finding about a run, in the order of its steps.

    Raises:
        UserError: one of its files is damaged.
    """
    if not (run / "run.json").is_file():
        return [*_failure(run), *_training(run)]
    values = read_run(run)
    folders = {step["name"]: Path(step["folder"]) for step in values["steps"] if "folder" in step}
    findings = [_end(values)]
    findings += [_failed_step(step) for step in values["steps"] if step["status"] == "failed"]
    if "train_student" in folders:
        findings += _training(folders["train_student"])
    if (verdict := folders.get("promotion_gate", run) / "promotion" / "verdict.json").is_file():
        findings += _promotion(Verdict.read(verdict))
    return findings


def _end(values: dict[str, Any]) -> Finding:
    """How the run as a whole stands."""
    status, seen = values["status"], f"{values['id']}: {values['status']}"
    if status == "interrupted":
        return Finding("run", f"{seen}; {values.get('error', 'its process is gone')}", _AGAIN)
    if status == "failed" and not any(step["status"] == "failed" for step in values["steps"]):
        return Finding("run", f"{seen}; {values.get('error', 'no step said why')}", _AGAIN)
    return Finding("run", seen)


def _failed_step(step: dict[str, Any]) -> Finding:
    if "error" not in step:
        return Finding(step["name"], "its process was killed, perhaps for want of memory", f"end others, then {_AGAIN}")
    return Finding(step["name"], " ".join(step["error"].split()), _cure(step["exit_code"]))


def _cure(exit_code: int) -> str:
    if exit_code in (UserError.exit_code, OutOfMemoryError.exit_code):
        return f"do what it says, then {_AGAIN}"
    if exit_code == RetryableError.exit_code:
        return _AGAIN
    return "this is an error in the code: the whole story is in the run's log"


def _failure(folder: Path) -> Iterator[Finding]:
    """Why a training outside a pipeline ended; of one that then went on to its result, nothing."""
    if (folder / FAILURE).is_file() and not (folder / RESULT).is_file():
        failure = read_json(folder / FAILURE)
        yield Finding("training", " ".join(failure["message"].split()), _cure(failure["exit_code"]))


def _training(folder: Path) -> Iterator[Finding]:
    """What a training folder tells, finished or not."""
    if not (folder / METRICS).is_file() or not (folder / METRICS).stat().st_size:
        return
    for alarm in read_alarms(folder / ALARMS):
        yield Finding(alarm.name, f"step {alarm.step}: {alarm.seen}", alarm.cure)
    yield _crossing(folder)
    if points := read_watch(folder / WATCH):
        yield _watch(points)
    if (folder / RESULT).is_file():
        yield _exported(read_json(folder / RESULT))


def _crossing(folder: Path) -> Finding:
    """Whether the student's mean reward passed the teacher's for good."""
    if "reward_teacher" not in read_lines(folder / METRICS)[0]:
        return Finding("teacher passed", "this method records no teacher's reward")
    curve = read_curve(folder / METRICS)
    gap = smooth(curve.gap)
    step, last = crossing(curve.steps, gap), int(curve.steps[-1])
    if step is not None:
        return Finding("teacher passed", f"for good at step {step} of {last}, and {gap[-1]:+.3f} ahead at the end")
    # Closing means that the second half of training won a good part of what is still missing.
    if gap[-1] - gap[len(gap) // 2] > _CLOSING * abs(gap[-1]):
        cure = "it was still closing: raise training.steps"
    else:
        cure = "it no longer closes: raise training.learning_rate, or lower method.alpha so that the reward weighs more"
    return Finding("teacher passed", f"not in {last} steps; the reward ends {gap[-1]:+.3f} from the teacher's", cure)


def _watch(points: list[WatchPoint]) -> Finding:
    """What the held-out score did from the first look to the best."""
    first, best = points[0], best_point(points)
    if first.score is None:
        cure = "name a reward under rewards.heldout"
        return Finding("held-out watch", "no held-out reward, so the last weights are exported unseen", cure)
    if best is None:
        return Finding("held-out watch", "only the untrained student was looked at so far")
    assert best.score is not None
    seen = f"score {first.score:.3f} untrained, {best.score:.3f} at its best, step {best.step}"
    if not as_good(best, first):
        cure = "lower training.learning_rate, and see whether the trained reward agrees with the held-out one at all"
        return Finding("held-out watch", f"{seen}: training made it worse", cure)
    no_gain = ": too few prompts to tell them apart" if best.score <= first.score else ""
    return Finding("held-out watch", seen + no_gain)


def _exported(result: dict[str, Any]) -> Finding:
    """Which weights came out."""
    early = ", ended early for want of a better look" if result.get("stopped_early") else ""
    step = result.get("exported_step", result["steps"])
    return Finding("student", f"step {step} of {result['steps']} is exported{early}")


def _promotion(verdict: Verdict) -> Iterator[Finding]:
    """The verdict, with a line for each condition that was not met."""
    if verdict.promoted:
        yield Finding("promotion", f"promoted: all {len(verdict.reasons)} conditions hold")
    for reason in verdict.failures:
        yield Finding("promotion", reason.text, _gate_cure(verdict, reason))


def _gate_cure(verdict: Verdict, reason: Reason) -> str:
    if reason.state == "open":
        return f"raise evaluation.count{f' to about {verdict.prompts}' if verdict.prompts else ''}"
    return _GATE_CURES[reason.rule]
