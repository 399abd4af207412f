"""What a benchmark leaves: the table as JSON and CSV, its plots, and the means over seeds in the terminal."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from scipy import stats

from pipelines.benchmark.rows import Row
from rats_train.files import atomic_write_text, write_json
from rats_train.provenance import describe_machine, package_versions, source_commit

Interval = tuple[float, float]


def write_results(rows: Sequence[Row], out: Path, command: str) -> None:
    """``out`` with the suffixes .json and .csv; ``command`` is what makes them again."""
    table = [asdict(row) for row in rows]
    about: dict[str, Any] = {
        "command": command,
        "commit": source_commit(),
        "machine": describe_machine().model_dump(),
        "versions": package_versions(),
    }
    write_json(out.with_suffix(".json"), {**about, "rows": table})
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    atomic_write_text(out.with_suffix(".csv"), text.getvalue())


def over_seeds(values: Sequence[float]) -> tuple[float, Interval]:
    """Mean, and its 95 % interval by Student's t over the seeds; without a spread to know, the interval is endless."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, (float("-inf"), float("inf"))
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, (mean - half, mean + half)


def summary_table(rows: Sequence[Row]) -> Table:
    """Lead over the full teacher, mean over seeds: a row for each method and budget, a column for each metric."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    table = Table("method", "steps", *metrics, title="student minus 50-step teacher, mean over seeds", box=None)
    for method, nfe in dict.fromkeys((row.method, row.nfe) for row in rows):
        cells = []
        for metric in metrics:
            leads = [
                row.value - row.teacher_50 for row in rows if (row.method, row.nfe, row.metric) == (method, nfe, metric)
            ]
            mean, (low, high) = over_seeds(leads)
            cells.append(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" if len(leads) > 1 else f"{mean:+.3f}")
        table.add_row(method, str(nfe), *cells)
    return table
