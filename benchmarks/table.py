"""What the benchmarks that need a GPU share: their table, and how they end."""

import csv
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from rats_train.errors import UserError


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """Dataclass instances of one kind as CSV, numbers with four digits; replaces ``path`` at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])])
        writer.writeheader()
        for row in rows:
            values = asdict(row).items()
            writer.writerow({name: f"{value:.4g}" if isinstance(value, float) else value for name, value in values})
    partial.replace(path)


def exit_status(run: Callable[[], None]) -> int:
    """Run a benchmark as a command; a person's mistake is one line on standard error."""
    try:
        run()
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0
