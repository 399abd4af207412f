"""The tables of docs/results.md, from what `rats benchmark` measured.

    python -m benchmarks.comparison

Each suite whose results lie under ``benchmarks/results`` has its part of the page, between two comments; so have, from
the methods' results, the long training of RATS over its seeds and seed by seed, RATS beside imitation and beside the
reward alone, RTDMD beside its first stage alone, and the two methods with several objectives.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.objectives import objectives_table
from components.shared.summary import table
from pipelines.benchmark.results import over_seeds
from pipelines.benchmark.rows import Row
from pipelines.benchmark.suite import Suite, load_suite
from rats_train.files import atomic_write_text

PAGE: Final = Path(__file__).parents[1] / "docs/results.md"
RESULTS: Final = Path(__file__).parent / "results"
_PART: Final = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_JUDGED: Final = {"trained": "trained on", "heldout": "held out", "verifier": "points"}


def page(text: str, results: Path = RESULTS) -> str:
    """The page with its tables as the results have them now."""
    return _PART.sub(lambda part: part[1] + _part(part[2], results) + part[3], text)


def _part(name: str, results: Path) -> str:
    if name not in _OF_METHODS:
        return _tables(*_read(name, results))
    suite, _, rows = _read("methods", results)
    return f"\n{_OF_METHODS[name](rows, suite)}\n\n"


def _read(name: str, results: Path) -> tuple[Suite, str, list[Row]]:
    """A suite with the command and the rows of its results."""
    suite = load_suite(name)
    found = json.loads((results / f"{suite.recipe}_{name}.json").read_text())
    return suite, found["command"], [Row(**row) for row in found["rows"]]


def _tables(suite: Suite, command: str, rows: Sequence[Row]) -> str:
    rows = _of_one_kind(rows)
    leads = _leads if len(_grouped(rows, "seed")) > 1 else _leads_of_one_seed
    commits = ", ".join(f"`{commit}`" for commit in sorted({(row.commit or "unknown")[:7] for row in rows}))
    machines = ", ".join(sorted({row.processor for row in rows}))
    about = (
        f"`{command}`, with `--only METHOD` for one line of it. {rows[0].n_prompts} prompts; run at {commits} "
        f"on {machines}. Student minus the teacher on its full schedule:"
    )
    return "\n" + "\n\n".join([about, leads(rows), _prices(rows, suite)]) + "\n\n"


def _against(rows: Sequence[Row], method: str, other: str) -> list[Row]:
    """The rows of a method with another's value in place of the teacher's, where it has seed and budget too.

    How far apart two methods are prompt by prompt is not in the rows, so the interval of a single seed is endless.
    """
    theirs = {(row.seed, row.nfe, row.metric): row.value for row in rows if row.method == other}
    return [
        replace(row, teacher_50=theirs[key], ci95=(-np.inf, np.inf))
        for row in rows
        if row.method == method and (key := (row.seed, row.nfe, row.metric)) in theirs
    ]


def _of_one_kind(rows: Sequence[Row]) -> list[Row]:
    """The rows, where a metric that some methods train on and others are judged by is a judge."""
    kinds = {row.metric: row.kind for row in sorted(rows, key=lambda row: row.kind != "trained")}
    return [replace(row, kind=kinds[row.metric]) for row in rows]


def _leads(rows: Sequence[Row]) -> str:
    """A line for each method and budget: mean over seeds, its interval, and in how many seeds it is above zero."""
    judged = _judged(rows)
    lines = [
        [f"`{method}`", nfe, *(_with_interval([row for row in own if row.metric == same.metric]) for same in judged)]
        for (method, nfe), own in _grouped(rows, "method", "nfe").items()
    ]
    return table(["method", "steps", *map(_heading, judged)], lines)


def _leads_of_every_seed(rows: Sequence[Row]) -> str:
    """A line for each seed and budget of one method, with the interval over prompts."""
    judged = _judged(rows)
    lines = []
    for (seed, nfe), own in _grouped(rows, "seed", "nfe").items():
        found = {row.metric: row for row in own}
        lines.append([seed, nfe, *(_lead_over_prompts(found[same.metric]) for same in judged)])
    return table(["seed", "steps", *map(_heading, judged)], lines)


def _leads_of_one_seed(rows: Sequence[Row]) -> str:
    """A line for each method, its budgets side by side."""
    judged = _judged(rows)
    lines = [
        [f"`{method}`", *(_by_budget(own, same.metric, rows, _only_lead) for same in judged)]
        for (method,), own in _grouped(rows, "method").items()
    ]
    return table(["method", *(_heading(same, rows) for same in judged)], lines)


def _prices(rows: Sequence[Row], suite: Suite) -> str:
    """A line for each method: what it changes, what it pays, and how long it takes, mean over seeds."""
    paid = [same for same in _grouped(rows, "metric").values() if same[0].kind not in _JUDGED]
    headings = [_heading(same[0], rows) for same in paid]
    times = ["training, s", "GiB", "ahead of its teacher from step", "that is after s", "seeds"]
    lines = []
    for (method,), own in _grouped(rows, "method").items():
        changes = " ".join(f"`{change}`" for change in suite.methods[str(method)])
        cells = [_by_budget(own, same[0].metric, rows, _price) for same in paid]
        seeds = [seed[0] for seed in _grouped(own, "seed").values()]
        memory = [seed.train_memory / 2**30 for seed in seeds if seed.train_memory]
        gibibytes = f"{np.mean(memory):.1f}" if memory else "–"
        seconds, *crossing = (_mean([getattr(seed, name) for seed in seeds]) for name in _PACES)
        lines.append([f"`{method}`", changes, *cells, seconds, gibibytes, *crossing, len(seeds)])
    return table(["method", "changes", *headings, *times], lines)


_PACES: Final = ("train_seconds", "steps_to_teacher", "seconds_to_teacher")


def _long(rows: Sequence[Row]) -> list[Row]:
    """The rows of RATS trained for twice as long as what it is compared with."""
    return [row for row in rows if row.method == "rats_long"]


def _grouped(rows: Sequence[Row], *names: str) -> dict[tuple[object, ...], list[Row]]:
    """The rows by the values of these fields, in the order in which they come."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, name) for name in names), []).append(row)
    return groups


def _judged(rows: Sequence[Row]) -> list[Row]:
    """A row of each metric in which a student may be ahead of its teacher."""
    return [same[0] for same in _grouped(rows, "metric").values() if same[0].kind in _JUDGED]


def _by_budget(own: Sequence[Row], metric: str, rows: Sequence[Row], show: Callable[[Sequence[Row]], str]) -> str:
    """One metric of a method at every budget of the table; a dash where the method has none."""
    found = _grouped([row for row in own if row.metric == metric], "nfe")
    return " / ".join(show(found[nfe,]) if (nfe,) in found else "–" for nfe in _budgets(rows))


def _lead(row: Row) -> float:
    return row.value - row.teacher_50


def _with_interval(rows: Sequence[Row]) -> str:
    """The mean lead over seeds; a single seed has the interval over its prompts."""
    mean, interval = over_seeds([_lead(row) for row in rows])
    above = sum(_lead(row) > 0 for row in rows)
    return f"{_estimate(rows[0], mean, interval if len(rows) > 1 else rows[0].ci95)}, {above} of {len(rows)}"


def _lead_over_prompts(row: Row) -> str:
    return _estimate(row, _lead(row), row.ci95)


def _estimate(row: Row, lead: float, interval: tuple[float, float]) -> str:
    return f"{_signed(row, lead)} [{_signed(row, interval[0])}, {_signed(row, interval[1])}]"


def _only_lead(rows: Sequence[Row]) -> str:
    (row,) = rows
    return _signed(row, _lead(row))


def _price(rows: Sequence[Row]) -> str:
    """Decibels of likeness, or the teacher's share of diversity that is left in percent; mean over seeds."""
    if rows[0].kind == "realism":
        return f"{np.mean([_lead(row) for row in rows]):+.1f}"
    return f"{100 * np.mean([row.value / row.teacher_50 for row in rows]):.0f}"


def _signed(row: Row, lead: float) -> str:
    """Percentage points of the verifier, or a reward without its leading zero."""
    return f"{100 * lead:+.1f}" if row.kind == "verifier" else re.sub(r"^([+-])0", r"\1", f"{lead:+.3f}")


def _mean(values: Sequence[float | None]) -> str:
    """The mean of what is known; where something is not, of how many."""
    known = [value for value in values if value is not None]
    if not known:
        return "never"
    return f"{np.mean(known):.0f}" + (f" ({len(known)} of {len(values)})" if len(known) < len(values) else "")


def _heading(row: Row, rows: Sequence[Row] = ()) -> str:
    """What a column holds; where it holds several budgets of ``rows``, which."""
    units = {"realism": ", dB", "diversity": ", % of the teacher's"}
    unit = units.get(row.kind) or f", {_JUDGED[row.kind]}"
    budgets = f", at {' / '.join(map(str, _budgets(rows)))} steps" if rows else ""
    return row.metric.replace("_", " ") + unit + budgets


def _budgets(rows: Sequence[Row]) -> list[int]:
    return sorted({row.nfe for row in rows})


_OF_METHODS: Final[dict[str, Callable[[list[Row], Suite], str]]] = {
    "over_seeds": lambda rows, suite: _leads(_long(rows)),
    "every_seed": lambda rows, suite: _leads_of_every_seed(_long(rows)),
    "imitation": lambda rows, suite: _leads(_against(rows, "rats", "distill")),
    "reward_alone": lambda rows, suite: _leads(_against(rows, "rats", "reward_only")),
    "second_stage": lambda rows, suite: _leads(_against(rows, "rtdmd", "acdmd")),
    "objectives": objectives_table,
}


def main() -> None:
    """Bring docs/results.md up to date."""
    atomic_write_text(PAGE, page(PAGE.read_text()))


if __name__ == "__main__":
    main()
