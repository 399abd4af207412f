"""What a person sees of a run in the terminal: a line a step, a bar for the one that runs, the results at the end."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipelines.runs import RESULTS, read_progress, read_run, serve_anyway
from rats_train.files import read_json

if TYPE_CHECKING:
    from rats_train.evaluation.preference import Preference

SIGNS = {
    "waiting": ("·", "dim"),
    "running": ("▶", "bold cyan"),
    "succeeded": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "interrupted": ("✗", "yellow"),
    "skipped": ("–", "dim"),
}


@contextmanager
def live_view(run: Path, console: Console) -> Iterator[None]:
    """Show the steps of ``run`` while the block runs: a table that changes, or without a terminal a line a step."""
    # Bound to where it prints now: the block sends standard output to the log.
    screen = Console(file=console.file)
    if not screen.is_terminal:
        with _lines(run, screen):
            yield
        return
    with Live(
        get_renderable=lambda: steps_table(read_run(run)["steps"]),
        console=screen,
        refresh_per_second=2,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield


@contextmanager
def _lines(run: Path, console: Console) -> Iterator[None]:
    """Print a step's row whenever its status changes."""
    over = threading.Event()
    seen: dict[str, str] = {}

    def look() -> None:
        for step in read_run(run)["steps"]:
            if step["status"] not in ("waiting", seen.get(step["name"])):
                seen[step["name"]] = step["status"]
                console.print(steps_table([step]))

    def watch() -> None:
        while not over.wait(0.5):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        look()


def steps_table(steps: list[dict[str, Any]]) -> Table:
    """One row a step: sign, name, how far or how long, and what it says of itself."""
    table = Table.grid(padding=(0, 2))
    for step in steps:
        sign, style = SIGNS[step["status"]]
        table.add_row(Text(sign, style), Text(step["name"], style), *_state(step))
    return table


def run_view(values: dict[str, Any]) -> RenderableType:
    """A run in full: its name and status, its steps, and what `results_view` says."""
    title = Text(f"{values['id']}: {values['status']}", "bold")
    error = [Text(values["error"], "red")] if "error" in values else []
    return Group(title, steps_table(values["steps"]), *error, results_view(values))


def results_view(values: dict[str, Any]) -> RenderableType:
    """The comparisons of a finished run, where its results are, and how to serve them."""
    table = Table.grid(padding=(0, 2))
    for name in RESULTS:
        if values.get(name):
            table.add_row(Text(name, "bold"), Text(values[name], overflow="fold"))
    if values.get("status") == "succeeded":
        table.add_row(Text("serve it", "bold"), Text(_how_to_serve(values), overflow="fold"))
    card = [Text(), scorecard_table(read_json(values["scorecard"]))] if values.get("scorecard") else []
    return Group(*card, Text(), table)


def _how_to_serve(values: dict[str, Any]) -> str:
    if values.get("package"):
        return "`rats serve`"
    return f"not promoted, the report says why; all the same: {serve_anyway(Path(values['student']))}"


def scorecard_table(card: dict[str, Any]) -> Table:
    """The scorecard's comparisons: student against the teacher at the same number of steps, and at 50."""
    table = Table("steps", "judge", "student", "teacher, same steps", "lead", "teacher, full", "lead", box=None)
    for steps, rewards in card["nfe"].items():
        shown = {name: row for name, row in card["quality"][steps].items() if row["kind"] in ("verifier", "guard")}
        for name, row in (rewards | shown).items():
            table.add_row(
                steps,
                f"{name} ({row['kind']})",
                f"{row['student']:.3f}",
                f"{row['teacher_same_nfe']:.3f}",
                _lead(row["gap"], row["ci95"]),
                f"{row['teacher_50']:.3f}",
                _lead(row["gap_50"], row["ci95_50"]),
            )
    return table


def call_example(url: str) -> str:
    """A command that asks the endpoint for a picture and keeps it as a file."""
    return (
        f"  curl -s {url}/v1/images/generations -H 'content-type: application/json' \\\n"
        """    -d '{"prompt": "two owls", "seed": 7, "response_format": "b64_json"}' \\\n"""
        "    | python3 -c 'import base64, json, sys; "
        """open("owls.png", "wb").write(base64.b64decode(json.load(sys.stdin)["data"][0]["b64_json"]))'"""
    )


def clock(seconds: float) -> str:
    """``75`` as ``1:15``; below a minute with a tenth, ``7.4 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def preference_view(seen: "Preference | None", files: Sequence[Path]) -> RenderableType:
    """What people preferred, in a sentence, and where it is written down."""
    if seen is None:
        return Text("Nobody has voted yet.")
    low, high = seen.ci95
    style = "green" if low > 0.5 else "red" if high < 0.5 else "yellow"
    share = Text(f"{seen.share:.1%} [{low:.1%}, {high:.1%}]", style)
    basis = f"{seen.votes} votes on {seen.prompts} prompts: {seen.won} won, {seen.tied} tied, {seen.lost} lost"
    lead = "" if seen.elo is None else f", {seen.elo:+.0f} Elo"
    where = f"\nWritten into {', '.join(map(str, files))}."
    return Text.assemble(f"{seen.first} is preferred to {seen.second} in ", share, f"{lead} ({basis}).{where}")


def _state(step: dict[str, Any]) -> tuple[RenderableType, RenderableType]:
    if step["status"] == "running":
        return _bar(read_progress(step))
    if step["status"] == "interrupted":
        return Text("interrupted", "yellow"), Text(step.get("error", "the same command carries on"), overflow="fold")
    if step["status"] in ("waiting", "skipped"):
        return Text(step["status"], "dim"), Text("")
    said = Text(step.get("error", step.get("headline", "")), overflow="fold")
    if step["status"] == "succeeded" and step["cached"]:
        return Text(f"unchanged, reused ({clock(step['work_seconds'])} when it ran)", "green"), said
    return Text(clock(step["seconds"])), said


def _bar(progress: dict[str, Any]) -> tuple[RenderableType, RenderableType]:
    if not progress:
        return Text("begins", "dim"), Text("")
    words = [f"{progress['step']}/{progress['steps']}"]
    if progress.get("eta_seconds") is not None:
        words.append(f"{clock(progress['eta_seconds'])} left")
    known = {"step", "steps", "eta_seconds"}
    words += [
        f"{name.replace('_', ' ')} {_short(value)}"
        for name, value in sorted(progress.items())
        if name not in known and value is not None
    ]
    return ProgressBar(total=progress["steps"], completed=progress["step"], width=24), Text(" · ".join(words))


def _short(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _lead(gap: float, interval: list[float]) -> Text:
    style = "green" if interval[0] > 0 else "red" if interval[1] < 0 else "yellow"
    return Text(f"{gap:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]", style)
