import json

import numpy as np
import pytest
from PIL import Image

from rats_train.errors import UserError
from rats_train.evaluation.curves import crossing, curve_svgs, read_curve, save_curves, smooth


def test_smoothing_is_the_mean_of_the_values_around():
    values = np.array([1.0, 2.0, 6.0, 1.0])
    assert smooth(values, window=2) == pytest.approx([1.5, 4.0, 3.5, 1.0])
    assert smooth(values, window=3) == pytest.approx([1.5, 3.0, 3.0, 3.5])
    assert smooth(values, window=10) == pytest.approx([2.5, 2.5, 2.5, 2.5])


def test_a_crossing_is_found_where_it_is_however_much_one_step_says():
    """The gap of the embedded world's default, which reaches zero at step 90, with the noise that a step has there."""
    steps = np.arange(1.0, 401.0)
    gap = np.interp(steps, [1, 50, 90, 150, 250, 400], [-0.04, -0.025, 0, 0.02, 0.045, 0.055])
    noises = np.random.default_rng(0).normal(0, 0.031, (200, 400))
    late = np.array([crossing(steps, smooth(gap + noise)) for noise in noises]) - 90
    assert abs(late.mean()) < 10
    assert np.quantile(late, 0.95) < 30


@pytest.mark.parametrize(
    ("gap", "step"),
    [([-1, 1, 2], 20), ([-1, 1, -1, 1], 40), ([1, 2], 10), ([1, -1], None), ([-1, 0], None), ([0, 1], 20)],
)
def test_crossing_is_the_step_from_which_the_student_stays_ahead(gap, step):
    steps = 10.0 * np.arange(1, len(gap) + 1)
    assert crossing(steps, np.array(gap, dtype=float)) == step


def test_read_curve_keeps_the_last_of_repeated_steps(training_dir):
    path = training_dir / "metrics.jsonl"
    again = json.loads(path.read_text().splitlines()[10]) | {"reward_student": 9.0}
    path.write_text(path.read_text() + json.dumps(again) + "\n")
    curve = read_curve(path)
    assert len(curve.steps) == 300
    assert curve.student[10] == 9.0
    assert list(curve.steps) == sorted(curve.steps)


@pytest.mark.parametrize("text", ["{", '{"step": 1}', "[1]", ""])
def test_a_broken_log_is_one_clear_line(tmp_path, text):
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(UserError, match=r"metrics\.jsonl"):
        read_curve(tmp_path / "metrics.jsonl")
    with pytest.raises(UserError, match="No training metrics"):
        read_curve(tmp_path / "absent.jsonl")


def test_figures_follow_the_page_and_mark_the_crossing(training_dir):
    curve = read_curve(training_dir / "metrics.jsonl")
    svgs = curve_svgs(curve)
    assert list(svgs) == ["reward", "gap", "gate"]
    assert all(svg.startswith("<svg") and "currentColor" in svg for svg in svgs.values())
    assert f"ahead from step {crossing(curve.steps, smooth(curve.gap))}" in svgs["gap"]
    assert svgs == curve_svgs(curve)


def test_a_method_without_a_gate_has_curves_without_one(training_dir, tmp_path):
    path = training_dir / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [{key: value for key, value in row.items() if not key.startswith("gate")} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    curve = read_curve(path)
    assert list(curve_svgs(curve)) == ["reward", "gap"]
    save_curves(curve, tmp_path / "curves.png")
    width, height = Image.open(tmp_path / "curves.png").size
    assert 2 * height < width < 3 * height
    path.write_text(json.dumps(rows[0]) + "\n" + json.dumps(kept[1]) + "\n")
    with pytest.raises(UserError, match="gate_mean"):
        read_curve(path)


def test_curves_are_saved_as_one_picture(training_dir, tmp_path):
    save_curves(read_curve(training_dir / "metrics.jsonl"), tmp_path / "curves.png")
    width, height = Image.open(tmp_path / "curves.png").size
    assert width > 3 * height
