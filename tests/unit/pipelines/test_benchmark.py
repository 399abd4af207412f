"""A suite's cases, what is reused between them, and the table and pictures made of them. The pipeline itself is
replaced by a stand-in that leaves a run's folder: it runs for real in tests/e2e."""

import csv
import io
import json
from dataclasses import asdict, astuple, replace

import numpy as np
import pytest
from rich.console import Console

from pipelines.benchmark import plots, report
from pipelines.benchmark import run as running
from pipelines.benchmark.plots import mean_training, save_plots
from pipelines.benchmark.report import measure
from pipelines.benchmark.results import Measured, Results, over_seeds, summary_table
from pipelines.benchmark.rows import case_rows
from pipelines.benchmark.run import run_cases
from pipelines.benchmark.suite import SUITES, Suite, choose_cases, load_suite, plan_cases
from pipelines.benchmark.training import EVERY, Training, read_training
from rats_train.config import load_recipe, recipe_digest
from rats_train.errors import UserError
from rats_train.evaluation.curves import read_curve, smooth
from rats_train.evaluation.draws import load_draws
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
    for name in ("metrics.jsonl", "result.json"):
        (training_dir / name).rename(training_dir / "log" / name)
    write_json(run / "run.json", {"commit": "of the run", "recipe_digest": "of the recipe"})
    write_json(run / "steps" / "train_student.json", {"folder": str(training_dir)})
    write_json(run / "steps" / "evaluate_rewards.json", {"folder": str(evaluation_dir / "step")})
    (evaluation_dir / "step" / "evaluation").mkdir(parents=True)
    for part in ("arms", "scores.json"):
        (evaluation_dir / part).rename(evaluation_dir / "step" / "evaluation" / part)
    return run


@pytest.fixture
def table(cases, finished_run, tmp_path):
    results = Results(tmp_path / "emoji_methods")
    for case in cases:
        training, pace = read_training(case.method, case.seed, finished_run)
        results[case.key] = Measured(list(case_rows(case, case.load().rewards, finished_run, pace)), training)
    return results


@pytest.fixture
def stand_in(finished_run, monkeypatch):
    """The finished run in place of every run; a list of what was asked for."""
    asked = []

    def run_pipeline(recipe, overrides, workspace, console):
        asked.append(overrides)
        digest = recipe_digest(load_recipe(recipe, overrides))
        write_json(finished_run / "run.json", {"commit": "of the run", "recipe_digest": digest})
        return finished_run

    monkeypatch.setattr(running, "run_pipeline", run_pipeline)
    return asked


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


def test_cases_are_chosen_by_method_or_by_method_and_seed(cases):
    assert choose_cases(cases, ["alpha_0", "rats:1"]) == cases[1:]
    with pytest.raises(UserError, match=r"No case rats:2: write a method, or one of rats:0, alpha_0:0, rats:1"):
        choose_cases(cases, ["rats:0", "rats:2"])


def test_finished_cases_are_not_run_again_and_the_teachers_pictures_are_lent(cases, finished_run, stand_in):
    workspace = finished_run.parent
    for _ in range(2):
        found = list(run_cases(cases, workspace, Console(file=io.StringIO())))
        assert found == [(case, finished_run) for case in cases]
    assert stand_in == [case.overrides for case in cases]
    lent = list((workspace / "cache" / "evaluate_rewards").glob("*/evaluation/arms/*"))
    assert {file.name for file in lent} == {
        f"teacher_{arm}.safetensors" for arm in ("3", "5", "8", "50", "3_unguided", "5_unguided", "8_unguided")
    }
    # Pictures of another seed are lent as well; their key does not fit, so an evaluation draws its own.
    assert load_draws(lent[0], "synthetic") is not None
    assert load_draws(lent[0], "of another seed") is None


def test_two_commands_may_work_in_one_workspace(cases, finished_run, stand_in, monkeypatch):
    workspace, console = finished_run.parent, Console(file=io.StringIO())
    played = running.run_pipeline

    def meanwhile(*arguments):
        monkeypatch.setattr(running, "run_pipeline", played)
        list(run_cases(cases[1:2], workspace, console))
        return played(*arguments)

    monkeypatch.setattr(running, "run_pipeline", meanwhile)
    list(run_cases(cases[:1], workspace, console))
    list(run_cases(cases[:2], workspace, console))
    assert len(stand_in) == 2


def test_a_row_for_every_case_budget_and_metric(cases, table):
    assert len(table.rows) == 4 * 3 * 5
    first = table.rows[0]
    assert (first.method, first.seed, first.nfe, first.metric, first.kind) == ("rats", 0, 3, "reward_a", "trained")
    assert first.ci95[0] < first.value - first.teacher_50 < first.ci95[1]
    assert first.ci95_same_nfe[0] < first.value - first.teacher_same_nfe < first.ci95_same_nfe[1]
    assert 50 < first.steps_to_teacher < 200
    assert first.seconds_to_teacher == pytest.approx(0.5 * first.steps_to_teacher)
    assert first.train_seconds == pytest.approx(150.0)
    assert (first.recipe_digest, first.commit, first.processor) == ("of the recipe", "of the run", "none")


def test_rows_are_in_a_rewards_own_units_under_the_name_that_it_judges_by(cases, table, finished_run):
    scaled = case_with(
        "rewards.train=[{name: reward_a, path: 'embedded:a', statistics: {mean: 10, std: 2}}]",
        "rewards.heldout=[{name: reward_b, kind: verifier}]",
    )
    _, pace = read_training("rats", 0, finished_run)
    rows = list(case_rows(scaled, scaled.load().rewards, finished_run, pace))
    for row, plain in zip(rows, table.rows, strict=False):
        if row.metric == "reward_a":
            assert row.value == pytest.approx(10 + 2 * plain.value)
            assert row.value - row.teacher_50 == pytest.approx(2 * (plain.value - plain.teacher_50))
            assert row.value - row.teacher_same_nfe == pytest.approx(2 * (plain.value - plain.teacher_same_nfe))
            assert row.ci95 == pytest.approx([2 * end for end in plain.ci95])
            assert row.ci95_same_nfe == pytest.approx([2 * end for end in plain.ci95_same_nfe])
        else:
            assert row == replace(plain, metric="all_correct" if plain.metric == "reward_b" else plain.metric)


def case_with(*overrides):
    return plan_cases(Suite(recipe="emoji", methods={"rats": list(overrides)}), seeds=1)[0]


def test_sums_of_different_rewards_have_panels_and_scales_of_their_own(table):
    both = table.trainings[:2]
    apart = [replace(row, metric="another") if row.method == "alpha_0" else row for row in table.rows]
    for rows, panels, sums in ((table.rows, 2, 1), (apart, 4, 2)):
        trained = plots._trained(rows)
        figure = plots._training(both, trained, plots._colours(rows))
        assert len(figure.axes) == panels
        assert [axes.get_title() for axes in figure.axes[::2]] == [
            f"Trained on {name}" for name in dict.fromkeys(trained.values())
        ]
        left, right = plots._curves(both, trained).axes
        assert left.get_shared_y_axes().joined(left, right) == (sums == 1)


def test_a_training_is_its_smoothed_curve_at_some_of_its_points(finished_run, training_dir):  # noqa: F811
    training, _ = read_training("rats", 0, finished_run)
    curve = read_curve(training_dir / "log" / "metrics.jsonl")
    assert training.steps.tolist() == [*range(1, 300, EVERY), 300]
    np.testing.assert_allclose(training.seconds, 0.5 * training.steps)
    np.testing.assert_allclose(training.student, smooth(curve.student)[training.steps.astype(int) - 1])
    np.testing.assert_allclose(training.gap, smooth(curve.gap)[training.steps.astype(int) - 1])


def test_a_student_that_learns_in_some_steps_only_is_timed_by_all_of_them(finished_run, training_dir, table, tmp_path):  # noqa: F811
    log = training_dir / "log" / "metrics.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    resting = [{"step": line["step"], "seconds": line["seconds"], "fake_score_loss": 1.0} for line in lines]
    log.write_text(
        "".join(json.dumps(both[i % 5 > 0]) + "\n" for i, both in enumerate(zip(lines, resting, strict=True)))
    )
    training, pace = read_training("rats", 0, finished_run)
    assert (training.steps % 5 == 1).all()
    assert training.seconds == pytest.approx(0.5 * training.steps)
    assert pace.seconds_to_teacher == pytest.approx(0.5 * pace.steps_to_teacher)
    assert pace.train_seconds == pytest.approx(150.0)
    assert pace.train_memory == 3 * 2**29
    assert all(plot.is_file() for plot in save_plots([training], table.rows, tmp_path / "resting"))


def test_the_interval_over_seeds_is_students():
    # Two values: half the interval is t(0.975, 1) = 12.706 times their half distance.
    mean, (low, high) = over_seeds([0.0, 2.0])
    assert mean == 1.0
    assert (low, high) == pytest.approx((1 - 12.706, 1 + 12.706), abs=1e-3)
    assert np.isinf(over_seeds([1.0])[1]).all()


def test_table_plots_and_summary_are_written(table, tmp_path):
    stem = tmp_path / "emoji_methods"
    table.write("rats benchmark methods --seeds 2")
    found = read_json(stem.with_suffix(".json"))
    assert len(found["rows"]) == len(table.rows)
    assert found["commit"]
    assert found["machine"]["cores"] >= 1
    with stem.with_suffix(".csv").open() as file:
        assert [float(row["value"]) for row in csv.DictReader(file)] == [row["value"] for row in found["rows"]]
    assert json.dumps(found["rows"][0]["ci95"])
    for plot in save_plots(table.trainings, table.rows, stem):
        assert plot.stat().st_size > 20_000
    console = Console(width=200, file=io.StringIO())
    console.print(summary_table(table.rows))
    assert "alpha_0" in console.file.getvalue()


def test_a_table_is_read_as_it_was_written(table, tmp_path):
    stem = tmp_path / "emoji_methods"
    table.write("rats benchmark methods --seeds 2")
    again = Results.read(stem, dict.fromkeys(table, "of the recipe"), 2)
    assert list(again) == list(table)
    assert [json.dumps(asdict(row)) for row in again.rows] == [json.dumps(asdict(row)) for row in table.rows]
    for found, made in zip(again.trainings, table.trainings, strict=True):
        assert (found.method, found.seed) == (made.method, made.seed)
        assert found.steps.tolist() == made.steps.tolist()
        np.testing.assert_allclose(found.gap, made.gap, atol=1e-5)


def test_what_does_not_belong_to_the_suite_any_more_is_dropped_from_the_table(table, tmp_path):
    table.write("rats benchmark methods --seeds 2")
    kept = Results.read(tmp_path / "emoji_methods", {("rats", 1): "of the recipe", ("alpha_0", 0): "of another"}, 2)
    assert list(kept) == [("rats", 1)]


@pytest.mark.parametrize("damage", ["no json", '{"rows": [{"method": "rats"}]}', "without trainings"])
def test_what_is_no_table_is_not_added_to(table, tmp_path, damage):
    table.write("rats benchmark methods --seeds 2")
    if damage == "without trainings":
        (tmp_path / "emoji_methods_training.csv").unlink()
    else:
        (tmp_path / "emoji_methods.json").write_text(damage)
    with pytest.raises(UserError, match=r"emoji_methods\.json .*no table of a benchmark.*delete them, or name another"):
        Results.read(tmp_path / "emoji_methods", {}, 2)


def test_a_seed_that_was_measured_is_not_dropped_silently(table, tmp_path):
    table.write("rats benchmark methods --seeds 2")
    with pytest.raises(UserError, match=r"emoji_methods\.json holds seed 1: ask for --seeds 2 to keep it"):
        Results.read(tmp_path / "emoji_methods", {}, 1)


def test_the_table_grows_case_by_case_and_keeps_those_that_are_not_run(cases, finished_run, stand_in, tmp_path):
    stem, workspace, console = tmp_path / "emoji_methods", finished_run.parent, Console(file=io.StringIO())
    measure(cases, [cases[2]], stem, "all of it", workspace, console)
    rows = measure(cases, [cases[1]], stem, "all of it", workspace, console)
    assert list(dict.fromkeys((row.method, row.seed) for row in rows)) == [("alpha_0", 0), ("rats", 1)]
    assert read_json(stem.with_suffix(".json"))["rows"] == json.loads(json.dumps([asdict(row) for row in rows]))
    assert stand_in == [cases[2].overrides, cases[1].overrides]
    # The pictures are those of the first seed.
    assert [file.name for file in tmp_path.glob("*_pictures_*")] == ["emoji_methods_pictures_alpha_0.webp"]
    assert {file.stem for file in tmp_path.glob("*.png")} == {
        f"emoji_methods_{name}" for name in ("training", "curves", "budgets")
    }
    assert len(measure(cases, cases, stem, "all of it", workspace, console)) == 4 * 3 * 5


def test_a_suite_that_is_stopped_leaves_the_rows_that_it_did_not_come_to(cases, finished_run, stand_in, monkeypatch):
    workspace, console = finished_run.parent, Console(file=io.StringIO())
    stem = workspace / "emoji_methods"
    measure(cases, cases, stem, "all of it", workspace, console)

    def stopped(chosen, *arguments):
        yield chosen[0], finished_run
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "run_cases", stopped)
    write_json(finished_run / "run.json", read_json(finished_run / "run.json") | {"commit": "of today"})
    with pytest.raises(KeyboardInterrupt):
        measure(cases, cases, stem, "all of it", workspace, console)
    rows = read_json(stem.with_suffix(".json"))["rows"]
    assert {(row["method"], row["seed"], row["commit"]) for row in rows} == {
        ("rats", 0, "of today"),
        *((method, seed, "of the run") for method, seed in (("rats", 1), ("alpha_0", 0), ("alpha_0", 1))),
    }


def test_more_methods_than_the_palette_has_are_all_drawn(table, tmp_path):
    first, rows = table.trainings[0], table.rows
    many = [f"method {number}" for number in range(15)]
    trainings = [replace(first, method=method) for method in many]
    rows = [replace(row, method=method) for method in many for row in rows[:15] if (method, row.nfe) != ("method 3", 8)]
    for plot in save_plots(trainings, rows, tmp_path / "ablations"):
        assert plot.stat().st_size > 20_000


def test_the_mean_training_ends_with_the_shortest(table):
    whole = table.trainings[0]
    short = Training("rats", 1, *(values[:5] + 1 for values in astuple(whole)[2:]))
    mean = mean_training([whole, short])
    assert len(mean.steps) == 5
    np.testing.assert_allclose(mean.student, whole.student[:5] + 0.5)
    np.testing.assert_allclose(mean.gap, whole.gap[:5])
