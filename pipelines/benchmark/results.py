"""What a benchmark leaves: the table as JSON and CSV, its trainings as CSV, and the means over seeds in the terminal.

Cases may be measured a few at a time, on several machines: the table keeps what it has of the others.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from rich.table import Table
from scipy import stats

from pipelines.benchmark.rows import Row
from pipelines.benchmark.training import Training
from rats_train.errors import UserError
from rats_train.files import atomic_write_text, write_json
from rats_train.provenance import describe_machine, package_versions, source_commit

Interval = tuple[float, float]
_COLUMNS: Final = tuple(field.name for field in fields(Training))


@dataclass(frozen=True)
class Measured:
    """All that is known of one case."""

    rows: Sequence[Row]
    training: Training


class Results(dict[tuple[str, int], Measured]):
    """The measured cases by method and seed, as files beginning with ``stem``."""

    def __init__(self, stem: Path) -> None:
        super().__init__()
        self._table, self._trainings = stem.with_suffix(".json"), stem.with_name(f"{stem.name}_training.csv")

    @classmethod
    def read(cls, stem: Path, digests: Mapping[tuple[str, int], str], seeds: int) -> Self:
        """What the files hold of the cases whose recipes still have these digests; nothing where there are no files.

        Raises:
            UserError: the files are not those of a benchmark, or hold more than so many ``seeds``.
        """
        results = cls(stem)
        if not results._table.is_file():
            return results
        try:
            trainings = _read_trainings(results._trainings)
            rows = [Row(**row) for row in json.loads(results._table.read_text())["rows"]]
            for key, own in groupby(rows, lambda row: (row.method, row.seed)):
                if key[1] >= seeds:
                    raise UserError(f"{results._table} holds seed {key[1]}: ask for --seeds {key[1] + 1} to keep it.")
                case = Measured(list(own), trainings[key])
                if digests.get(key) == case.rows[0].recipe_digest:
                    results[key] = case
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{results._table} and {results._trainings.name} are no table of a benchmark to add to ({error}): "
                "delete them, or name another folder with --out."
            ) from error
        return results

    @property
    def rows(self) -> list[Row]:
        """Every row of the table."""
        return [row for case in self.values() for row in case.rows]

    @property
    def trainings(self) -> list[Training]:
        """Every training."""
        return [case.training for case in self.values()]

    def arrange(self, order: Sequence[tuple[str, int]]) -> None:
        """Bring the cases into this order."""
        cases = dict(self)
        self.clear()
        self.update({key: cases[key] for key in order if key in cases})

    def write(self, command: str) -> None:
        """Write the files; ``command`` is what makes them again."""
        about: dict[str, Any] = {
            "command": command,
            "commit": source_commit(),
            "machine": describe_machine().model_dump(),
            "versions": package_versions(),
        }
        table = [asdict(row) for row in self.rows]
        write_json(self._table, {**about, "rows": table})
        atomic_write_text(self._table.with_suffix(".csv"), _csv(list(table[0]), (row.values() for row in table)))
        atomic_write_text(self._trainings, _csv(_COLUMNS, (line for run in self.trainings for line in _lines(run))))


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
    columns = [metric.replace("_", " ") for metric in metrics]
    table = Table("method", "steps", *columns, title="student minus 50-step teacher, mean over seeds", box=None)
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


def _csv(header: Sequence[str], lines: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()


def _lines(training: Training) -> Iterable[tuple[Any, ...]]:
    method, seed, steps, seconds, *rewards = astuple(training)
    for step, second, *both in zip(steps, seconds, *rewards, strict=True):
        yield method, seed, int(step), f"{second:.1f}", *(f"{reward:.5f}" for reward in both)


def _read_trainings(path: Path) -> dict[tuple[str, int], Training]:
    with path.open(newline="") as file:
        lines = [(line["method"], int(line["seed"]), line) for line in csv.DictReader(file)]
    found = {}
    for (method, seed), own in groupby(lines, lambda line: line[:2]):
        series = np.array([[float(line[name]) for name in _COLUMNS[2:]] for *_, line in own])
        found[method, seed] = Training(method, seed, *series.T)
    return found
