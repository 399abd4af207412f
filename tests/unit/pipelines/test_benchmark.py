"""A suite's cases, what is reused between them, and the table and pictures made of them. The pipeline itself is
replaced by a stand-in that leaves a run's folder: it runs for real in tests/e2e."""

import csv
import io
import json
import shutil
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from pipelines.benchmark import run as running
from pipelines.benchmark.pictures import save_sheets
from pipelines.benchmark.plots import mean_curve, save_plots
from pipelines.benchmark.results import over_seeds, summary_table, write_results
from pipelines.benchmark.rows import case_rows, read_training
from pipelines.benchmark.run import run_cases
from pipelines.benchmark.suite import SUITES, Suite, load_suite, plan_cases
from rats_train.config import load_recipe
from rats_train.errors import UserError
from rats_train.evaluation.curves import Curve
from rats_train.evaluation.draws import Draws, load_draws, save_draws
from rats_train.files import read_json, write_json
from tests.unit.evaluation.conftest import (  # noqa: F401
    build_card,
    evaluation_dir,
    make_card,
    make_scores,
    training_dir,
)

SUITE = Suite(recipe="emoji", common=["evaluation.count=24"], methods={"rats": [], "alpha_0": ["method.alpha=0"]})


@pytest.fixture
def cases():
    return plan_cases(SUITE, seeds=2)


@pytest.fixture
def finished_run(tmp_path, evaluation_dir, training_dir):  # noqa: F811
    """A run's folder as far as a benchmark reads it."""
    run = tmp_path / "workspace" / "emoji-1"
    (run / "steps").mkdir(parents=True)
    (run / "scorecard.json").write_bytes((evaluation_dir / "scorecard.json").read_bytes())
    (training_dir / "log").mkdir()
    (training_dir / "metrics.jsonl").rename(training_dir / "log" / "metrics.jsonl")
    write_json(run / "run.json", {"commit": "of the run", "recipe_digest": "of the recipe"})
    write_json(run / "steps" / "train_student.json", {"folder": str(training_dir)})
    write_json(run / "steps" / "evaluate_rewards.json", {"folder": str(evaluation_dir / "step")})
    (evaluation_dir / "step" / "evaluation").mkdir(parents=True)
    for part in ("arms", "scores.json"):
        (evaluation_dir / part).rename(evaluation_dir / "step" / "evaluation" / part)
    return run


@pytest.fixture
def table(cases, finished_run):
    trainings = [read_training(case, finished_run) for case in cases]
    rows = [row for case, log in zip(cases, trainings, strict=True) for row in case_rows(case, finished_run, log)]
    return trainings, rows


def test_a_method_may_have_fewer_seeds_than_are_asked_for():
    short = SUITE.model_copy(update={"seeds": {"alpha_0": 1}})
    assert [(case.method, case.seed) for case in plan_cases(short, seeds=2)] == [
        ("rats", 0), ("alpha_0", 0), ("rats", 1)
    ]  # fmt: skip
    assert len(plan_cases(SUITE.model_copy(update={"seeds": {"alpha_0": 5}}), seeds=2)) == 4


def test_methods_of_a_seed_stand_together_and_differ_as_the_suite_says(cases):
    assert [(case.method, case.seed) for case in cases] == [("rats", 0), ("alpha_0", 0), ("rats", 1), ("alpha_0", 1)]
    alpha = load_recipe("emoji").method.alpha
    assert [case.load().method.alpha for case in cases] == [alpha, 0.0, alpha, 0.0]
    assert {case.load().evaluation.count for case in cases} == {24}


@pytest.mark.parametrize("name", sorted(file.stem for file in SUITES.glob("*.yaml")))
def test_every_packaged_suite_is_taken_by_the_recipe(name):
    suite = load_suite(name)
    assert [case.method for case in plan_cases(suite, seeds=1)] == list(suite.methods)


def test_unknown_suites_and_wrong_files_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"No suite quick: choose from .*methods"):
        load_suite("quick")
    (tmp_path / "wrong.yaml").write_text("method: {rats: []}\n")
    with pytest.raises(UserError, match=r"wrong\.yaml is not a suite .*recipe"):
        load_suite(str(tmp_path / "wrong.yaml"))
    (tmp_path / "wrong.yaml").write_text("recipe: emoji\nmethods: {rats: []}\nseeds: {rat: 3}\n")
    with pytest.raises(UserError, match=r"wrong\.yaml is not a suite .*seeds names rat, which is none"):
        load_suite(str(tmp_path / "wrong.yaml"))
    with pytest.raises(UserError, match=r"method\.alpah; did you mean alpha"):
        plan_cases(Suite(recipe="emoji", methods={"x": ["method.alpah=1"]}), seeds=1)


def test_finished_cases_are_not_run_again_and_the_teachers_pictures_are_lent(cases, finished_run, monkeypatch):
    asked = []

    def stand_in(recipe, overrides, workspace, console):
        asked.append(overrides)
        return finished_run

    monkeypatch.setattr(running, "run_pipeline", stand_in)
    workspace = finished_run.parent
    for _ in range(2):
        assert run_cases(cases, workspace, Console(file=io.StringIO())) == [finished_run] * 4
    assert asked == [case.overrides for case in cases]
    lent = list((workspace / "cache" / "evaluate_rewards").glob("*/evaluation/arms/*"))
    assert {file.name for file in lent} == {
        f"teacher_{arm}.safetensors" for arm in ("3", "5", "8", "50", "3_unguided", "5_unguided", "8_unguided")
    }
    # Pictures of another seed are lent as well; their key does not fit, so an evaluation draws its own.
    assert load_draws(lent[0], "synthetic") is not None
    assert load_draws(lent[0], "of another seed") is None


def test_a_row_for_every_case_budget_and_metric(cases, table):
    trainings, rows = table
    assert len(rows) == 4 * 3 * 5
    first = rows[0]
    assert (first.method, first.seed, first.nfe, first.metric, first.kind) == ("rats", 0, 3, "reward_a", "trained")
    assert first.ci95[0] < first.value - first.teacher_50 < first.ci95[1]
    assert first.ci95_same_nfe[0] < first.value - first.teacher_same_nfe < first.ci95_same_nfe[1]
    step = trainings[0].steps_to_teacher
    assert 50 < step < 200
    assert first.steps_to_teacher == step
    assert first.seconds_to_teacher == pytest.approx(0.5 * step)
    assert first.train_seconds == pytest.approx(150.0)
    assert (first.recipe_digest, first.commit) == ("of the recipe", "of the run")


def test_a_student_that_learns_in_some_steps_only_is_timed_by_all_of_them(cases, finished_run, training_dir, tmp_path):  # noqa: F811
    log = training_dir / "log" / "metrics.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    resting = [{"step": line["step"], "seconds": line["seconds"], "fake_score_loss": 1.0} for line in lines]
    log.write_text(
        "".join(json.dumps(both[i % 5 > 0]) + "\n" for i, both in enumerate(zip(lines, resting, strict=True)))
    )
    training = read_training(cases[0], finished_run)
    assert len(training.seconds) == len(training.curve.steps) == len(lines) / 5
    assert training.seconds == pytest.approx(0.5 * training.curve.steps)
    assert training.seconds_to_teacher == pytest.approx(0.5 * training.steps_to_teacher)
    (row, *_) = case_rows(cases[0], finished_run, training)
    assert row.train_seconds == pytest.approx(150.0)
    assert row.seconds_to_teacher == pytest.approx(0.5 * row.steps_to_teacher)
    assert all(plot.is_file() for plot in save_plots([training], [row], tmp_path / "resting"))


def test_the_interval_over_seeds_is_students():
    # Two values: half the interval is t(0.975, 1) = 12.706 times their half distance.
    mean, (low, high) = over_seeds([0.0, 2.0])
    assert mean == 1.0
    assert (low, high) == pytest.approx((1 - 12.706, 1 + 12.706), abs=1e-3)
    assert np.isinf(over_seeds([1.0])[1]).all()


def test_table_plots_and_summary_are_written(table, tmp_path):
    trainings, rows = table
    stem = tmp_path / "results" / "emoji_methods"
    stem.parent.mkdir()
    write_results(rows, stem, "rats benchmark methods --seeds 2")
    found = read_json(stem.with_suffix(".json"))
    assert len(found["rows"]) == len(rows)
    assert found["commit"]
    assert found["machine"]["cores"] >= 1
    with stem.with_suffix(".csv").open() as file:
        assert [float(row["value"]) for row in csv.DictReader(file)] == [row["value"] for row in found["rows"]]
    assert json.dumps(found["rows"][0]["ci95"])
    for plot in save_plots(trainings, rows, stem):
        assert plot.stat().st_size > 20_000
    console = Console(width=200, file=io.StringIO())
    console.print(summary_table(rows))
    assert "alpha_0" in console.file.getvalue()


def test_more_methods_than_the_palette_has_are_all_drawn(table, tmp_path):
    trainings, rows = table
    many = [f"method {number}" for number in range(15)]
    trainings = [replace(trainings[0], method=method) for method in many]
    rows = [replace(row, method=method) for method in many for row in rows[:15] if (method, row.nfe) != ("method 3", 8)]
    for plot in save_plots(trainings, rows, tmp_path / "ablations"):
        assert plot.stat().st_size > 20_000


def test_the_mean_curve_ends_with_the_shortest_training(table):
    training = table[0][0]
    short = replace(training, curve=Curve(*(values[:50] + 1 for values in astuple(training.curve))))
    mean = mean_curve([training, short])
    assert len(mean.steps) == 50
    np.testing.assert_allclose(mean.student, training.curve.student[:50] + 0.5)
    np.testing.assert_allclose(mean.gap, training.curve.gap[:50])


def test_a_sheet_of_pictures_a_budget_shows_each_methods_own(cases, finished_run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(finished_run.parent.parent / "step", other)
    arm = other / "evaluation" / "arms" / "student_8.safetensors"
    white = torch.full_like(load_draws(arm).images, 255)
    save_draws(arm, Draws(white, 1.0), key="synthetic")
    run = tmp_path / "other_run"
    (run / "steps").mkdir(parents=True)
    write_json(run / "steps" / "evaluate_rewards.json", {"folder": str(other)})
    sheets = save_sheets(cases, [finished_run, run] * 2, tmp_path / "emoji_methods")
    assert [sheet.name for sheet in sheets] == [f"emoji_methods_pictures_{steps}.png" for steps in (3, 5, 8)]
    with Image.open(sheets[-1]) as sheet:  # four columns: both teachers, then the two methods
        pixels = np.asarray(sheet.convert("L"), dtype=float)
    columns = np.array_split(pixels[80:], 4, axis=1)
    assert columns[3].min() > columns[2].min() + 50
