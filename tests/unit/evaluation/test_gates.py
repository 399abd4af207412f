"""The gate prompt by prompt: binning, carrying over, who is still led, and figures that need nothing beside them."""

import json
from pathlib import Path

import numpy as np
import pytest

from rats_train.errors import UserError
from rats_train.evaluation.gates import (
    GateHistory,
    gate_svgs,
    heat_strip,
    late_prompts,
    quantile_bands,
    read_gates,
    still_led,
)


def history(rows: list[tuple[str, int, float, float]]) -> GateHistory:
    """Rows of prompt, step, gate and gap."""
    names = list(dict.fromkeys(row[0] for row in rows))
    prompt = np.array([names.index(row[0]) for row in rows])
    step, gate, gap = np.array([row[1:] for row in rows], dtype=float).T
    return GateHistory(names, prompt, step, gate, gap)


SMALL = history(
    [
        ("owl", 1, 0.9, -0.3),
        ("fox", 2, 0.8, -0.2),
        ("cat", 3, 0.5, 0.1),
        ("owl", 7, 0.7, -0.2),
        ("fox", 8, 0.2, 0.2),
        ("owl", 9, 0.9, -0.4),
        ("fox", 9, 0.4, -0.1),
        ("boat", 9, 0.6, -0.1),
    ]
)


def test_the_teacher_still_leads_where_it_is_ahead_late_in_training() -> None:
    led = still_led(SMALL)
    assert [(row.prompt, row.seen) for row in led] == [("owl", 2), ("boat", 1)]
    assert (led[0].gap, led[0].gate) == (pytest.approx(-0.3), pytest.approx(0.8))
    assert late_prompts(SMALL) == 3


def test_a_prompt_that_was_not_seen_keeps_what_was_seen_last() -> None:
    strip = heat_strip(SMALL, bins=3)
    by_end = {row[-1]: row for row in strip.round(6)}
    assert list(by_end) == [0.8, 0.6, 0.5, 0.3]  # the widest gate on top
    assert by_end[0.8] == pytest.approx([0.9, 0.9, 0.8])  # owl, not seen in the middle
    assert by_end[0.5] == pytest.approx([0.5, 0.5, 0.5])  # cat, seen at first only
    assert np.isnan(by_end[0.6][:2]).all()  # boat, seen at last only


def test_bands_hold_the_prompts_between_them() -> None:
    rng = np.random.default_rng(0)
    rows = [("x", step, 0.5, gap) for step in range(1, 201) for gap in rng.normal(step / 100, 1, 40)]
    steps, bands = quantile_bands(history(rows), history(rows).gap, bins=4)
    assert steps == pytest.approx([25.5, 75.5, 125.5, 175.5])
    assert (np.diff(bands, axis=0) > 0).all()
    assert bands[2] == pytest.approx(steps / 100, abs=0.1)
    assert bands[4] - bands[0] == pytest.approx(np.full(4, 2 * 1.645), abs=0.3)


def test_figures_are_inline_and_repeatable() -> None:
    svgs = gate_svgs(SMALL)
    assert list(svgs) == ["gap_prompts", "gate_prompts"]
    assert all(svg.startswith("<svg") and "currentColor" in svg for svg in svgs.values())
    assert svgs == gate_svgs(SMALL)


def test_samples_are_read_and_a_method_without_a_gate_has_no_history(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    assert read_gates(path) is None
    row = {"step": 1, "prompt": "an owl", "seed": 3, "reward_student": 0.5, "reward_teacher": 0.75, "gate": 0.9}
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"prompt": "a fox"}) + "\n")
    found = read_gates(path)
    assert (found.prompts, list(found.prompt), list(found.gap)) == (["an owl", "a fox"], [0, 1], [-0.25, -0.25])
    del row["gate"]
    path.write_text(json.dumps(row) + "\n")
    assert read_gates(path) is None
    path.write_text("{")
    with pytest.raises(UserError, match=r"samples\.jsonl is not a log of samples"):
        read_gates(path)
