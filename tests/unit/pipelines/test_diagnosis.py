"""The doctor reads a run: what went wrong, in words, with what to change."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.doctor.run import diagnose, locate
from pipelines.runs import create_run
from rats_train.errors import UserError
from rats_train.evaluation.verdict import judge
from rats_train.evaluation.watched import WatchPoint
from rats_train.files import write_json
from tests.simulated_students import simulated_student
from tests.unit.evaluation.conftest import (  # noqa: F401
    build_card,
    evaluation_dir,
    guarded_dir,
    make_card,
    make_scores,
    training_dir,
)


def by_name(findings):
    return {finding.name: finding for finding in findings}


@pytest.fixture
def make_run(tmp_path):
    """A function that makes a run in which each named step ended as told, in a folder of its own."""

    def make(status="succeeded", **steps):
        run = create_run(tmp_path / "runs", "emoji", {})
        for name, values in steps.items():
            record = {"name": name, "status": "succeeded", "seconds": 1, "cached": False}
            write_json(run / "steps" / f"{name}.json", record | {"folder": str(tmp_path / name)} | values)
        write_json(run / "run.json", json.loads((run / "run.json").read_text()) | {"status": status})
        return run

    return make


def test_a_good_run_is_well(make_run, training_dir, make_scores, tmp_path):  # noqa: F811
    judge(make_scores(lead=0.3), None).write(tmp_path / "judged" / "promotion" / "verdict.json")
    run = make_run(train_student={"folder": str(training_dir)}, promotion_gate={"folder": str(tmp_path / "judged")})
    found = by_name(diagnose(run))
    assert all(finding.cure is None for finding in found.values())
    assert found["teacher passed"].seen.startswith("for good at step ")
    assert found["promotion"].seen.startswith("promoted: all ")
    shown = CliRunner().invoke(app, ["doctor", "latest", "--workspace", str(tmp_path / "runs")])
    assert (shown.exit_code, "All is well." in shown.output) == (0, True)


@pytest.mark.parametrize(
    ("code", "cure"), [(2, "do what it says"), (75, "run the same command again"), (1, "an error in the code")]
)
def test_the_failed_step_is_named_with_its_error(make_run, code, cure):
    step = {"status": "failed", "error": "No space\nleft", "exit_code": code}
    found = by_name(diagnose(make_run("failed", prepare={}, generate_trajectories=step)))
    assert found["generate_trajectories"].seen == "No space left"
    assert cure in found["generate_trajectories"].cure


def test_a_killed_step_and_an_interrupted_run_have_a_cure(make_run):
    found = by_name(diagnose(make_run("failed", train_student={"status": "running"})))
    assert "killed" in found["train_student"].seen
    assert "carries on" in by_name(diagnose(make_run("interrupted", prepare={})))["run"].cure


def test_alarms_and_the_exported_look_are_told(guarded_dir, tmp_path):  # noqa: F811
    write_json(guarded_dir / "result.json", {"steps": 300, "exported_step": 200, "stopped_early": True})
    found = by_name(diagnose(guarded_dir))
    assert found["dead gate"].seen == "step 150: All gates were shut."
    assert found["dead gate"].cure == "Raise method.tau."
    assert found["held-out watch"].seen == "score 0.400 untrained, 0.700 at its best, step 200"
    assert found["student"].seen == "step 200 of 300 is exported, ended early for want of a better look"
    shown = CliRunner().invoke(app, ["doctor", str(guarded_dir), "--workspace", str(tmp_path)])
    assert (shown.exit_code, "Raise method.tau." in shown.output) == (1, True)


def test_a_teacher_that_was_never_passed_has_a_cure_that_fits(training_dir):  # noqa: F811
    def curve(gap_of):
        rows = [
            {"step": step, "reward_student": 0.7 + gap_of(step), "reward_teacher": 0.7}
            | {"gate_mean": 0.5, "gate_min": 0.4, "gate_max": 0.6}
            for step in range(1, 101)
        ]
        (training_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return by_name(diagnose(training_dir))["teacher passed"]

    closing, stuck = curve(lambda step: -0.2 + step / 1000), curve(lambda step: -0.2)
    assert "not in 100 steps" in closing.seen
    assert "raise training.steps" in closing.cure
    assert "raise training.learning_rate" in stuck.cure


def test_training_that_made_the_held_out_score_worse_is_told(training_dir):  # noqa: F811
    def watched(kinds):
        looks = [
            WatchPoint(step, 5, kinds, dict.fromkeys(kinds, 1.0), dict.fromkeys(kinds, np.full(8, score)), 1.0)
            for step, score in ((0, 0.5), (100, 0.4))
        ]
        (training_dir / "watch.jsonl").write_text("".join(json.dumps(look.to_line()) + "\n" for look in looks))
        return by_name(diagnose(training_dir))["held-out watch"]

    assert "training made it worse" in watched({"a": "trained", "b": "heldout"}).seen
    assert "rewards.heldout" in watched({"a": "trained"}).cure


def test_a_held_out_score_that_chance_may_have_lowered_is_no_fault(training_dir):  # noqa: F811
    """Of eight prompts half lose .1 and half gain .08: -.01 with a standard error of .03."""
    before, change = np.full(8, 0.5), np.tile([-0.1, 0.08], 4)
    looks = [
        WatchPoint(step, 5, {"b": "heldout"}, {"b": 1.0}, {"b": values}, 1.0)
        for step, values in ((0, before), (100, before + change))
    ]
    (training_dir / "watch.jsonl").write_text("".join(json.dumps(look.to_line()) + "\n" for look in looks))
    found = by_name(diagnose(training_dir))["held-out watch"]
    assert found.cure is None
    assert found.seen == "score 0.500 untrained, 0.490 at its best, step 100: too few prompts to tell them apart"


def test_why_the_gate_rejects_is_told_with_what_to_change(make_run, tmp_path):
    def cures(**shifts):
        student, champion = simulated_student(0, "a", prompts=256, **shifts), simulated_student(0, "b", prompts=256)
        judge(student, champion).write(tmp_path / "judged" / "promotion" / "verdict.json")
        findings = [f for f in diagnose(make_run(promotion_gate={"folder": str(tmp_path / "judged")})) if f.cure]
        assert {finding.name for finding in findings} == {"promotion"}
        return {finding.seen: finding.cure for finding in findings}

    assert any("reward_b at 3 steps" in seen and "training.steps" in cure for seen, cure in cures(heldout=-0.5).items())
    hacked = cures(trained=0.6, correct=-0.3)
    assert any(seen.startswith("reward hacking") and "of another kind" in cure for seen, cure in hacked.items())
    assert any("raise evaluation.count" in cure for cure in cures(heldout=0.08).values())


def test_a_training_outside_a_pipeline_tells_its_failure(tmp_path: Path):
    write_json(tmp_path / "failure.json", {"exit_code": 2, "message": "training has diverged"})
    (finding,) = diagnose(locate(tmp_path, str(tmp_path)))
    assert (finding.seen, "do what it says" in finding.cure) == ("training has diverged", True)
    write_json(tmp_path / "result.json", {"steps": 3})
    assert diagnose(tmp_path) == []


def test_a_run_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"^No run monday, neither in [^\n]*$"):
        locate(tmp_path, "monday")
