"""Does credit for steps and objectives pay? `otca` less `grpo_objectives`, which trains on the same rewards."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from components.shared.summary import table
from pipelines.benchmark.results import over_seeds
from pipelines.benchmark.rows import Row, judged_as
from pipelines.benchmark.suite import Suite, plan_cases
from rats_train.evaluation.bootstrap import Values
from rats_train.recipe_rewards import Statistics

CREDITED: Final = "otca"
PLAIN: Final = "grpo_objectives"


def objectives_table(rows: Sequence[Row], suite: Suite) -> str:
    """A line for each budget: by how much `otca` leads in each objective, in a student's worst, and in their mean.

    Objectives are in the standard deviations in which training sums them; a seed counts where both methods have it.
    """
    scales = _scales(suite)
    credited, plain = (_scores(rows, method, scales) for method in (CREDITED, PLAIN))
    shared = [key for key in credited if key in plain]
    lines = []
    for budget in sorted({nfe for _, nfe in shared}):
        ours, theirs = (np.array([of[key] for key in shared if key[1] == budget]) for of in (credited, plain))
        leads = [*(ours - theirs).T, ours.min(axis=1) - theirs.min(axis=1), ours.mean(axis=1) - theirs.mean(axis=1)]
        lines.append([budget, *map(_over_seeds, leads)])
    names = [name.replace("_", " ") for name in scales]
    return table(["steps", *names, "a student's worst", "their mean"], lines)


def _scales(suite: Suite) -> dict[str, Statistics]:
    """The scale of each objective, by the metric that judges it."""
    (case,) = (case for case in plan_cases(suite, seeds=1) if case.method == CREDITED)
    return {judged_as(spec): spec.statistics for spec in case.load().rewards.train if spec.statistics}


def _scores(rows: Sequence[Row], method: str, scales: Mapping[str, Statistics]) -> dict[tuple[int, int], list[float]]:
    """Every objective's score at each seed and budget, in the order of ``scales``."""
    found = {(row.seed, row.nfe, row.metric): row.value for row in rows if row.method == method}
    keys = dict.fromkeys((seed, nfe) for seed, nfe, _ in found)
    return {
        (seed, nfe): [(found[seed, nfe, name] - scale.mean) / scale.std for name, scale in scales.items()]
        for seed, nfe in keys
    }


def _over_seeds(leads: Values) -> str:
    mean, (low, high) = over_seeds(leads.tolist())
    interval = f" [{low:+.2f}, {high:+.2f}]" if len(leads) > 1 else ""
    return f"{mean:+.2f}{interval}, {(leads > 0).sum()} of {len(leads)}"
