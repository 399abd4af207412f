"""The small artifacts that the KFP UI shows: a Markdown table, and numbers for its metrics tab."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.shared.tracker_address import tracker_line
from rats_train.files import atomic_write_text, read_json, write_json

SUMMARY = "summary.md"
METRICS = "metrics.json"
TRACKED = "tracked.json"


def write_summary(folder: Path, text: str, numbers: Mapping[str, float] | None = None) -> None:
    """Write a step's Markdown summary, and its numbers where it has any, into its work folder."""
    atomic_write_text(folder / SUMMARY, text.rstrip() + "\n")
    write_json(folder / METRICS, dict(numbers or {}))


def write_tracked(folder: Path, page: str) -> None:
    """Remember in a work folder which page of MLflow tells of it."""
    write_json(folder / TRACKED, {"page": page})


def publish_summary(text: str, target: str | Path, page: str = "") -> None:
    """Write Markdown for the KFP UI that ends with the way to MLflow, which is a place and no content."""
    atomic_write_text(target, f"{text.rstrip()}\n\n{tracker_line(page)}\n")


def kept_page(folder: Path) -> str:
    """The page that `write_tracked` remembered, empty where a step has none."""
    return str(read_json(folder / TRACKED)["page"]) if (folder / TRACKED).is_file() else ""


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with four digits."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def headline(folder: Path) -> str:
    """The first line of the summary that `write_summary` kept, empty where a step keeps none: the step in one line."""
    if not (folder / SUMMARY).is_file():
        return ""
    return (folder / SUMMARY).read_text().splitlines()[0].removeprefix("# ")


def log_metrics(metrics: Any, folder: Path) -> None:
    """Log the numbers that `write_summary` kept to a KFP ``Metrics`` artifact."""
    for name, value in read_json(folder / METRICS).items():
        metrics.log_metric(name, value)


def _cell(value: object) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")
