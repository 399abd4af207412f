"""Four times as many requests as the endpoint can draw: who is refused hears it at once, who is let in is served soon.

    python -m benchmarks.serving.overload [--step-ms 40]

The device is simulated (`simulated_device`): a full batch costs a picture no time, and what is left is the wait for a
slot. Requests come at a steady pace, whatever became of those before. Servers and callers share this machine: at 40 ms
a step they take half a core in all, and where they do not get it at once, it is the wait for it that is measured.

Results go to ``benchmarks/results/serving.json``.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from benchmarks.serving.load import Answer, bodies, closed_loop, milliseconds, open_loop
from benchmarks.serving.results import Row, write_rows
from benchmarks.serving.servers import MIX, packaged, running
from benchmarks.serving.simulated_device import STEP_MS
from benchmarks.table import exit_status
from rats_train.embedded import teacher_dir
from serving.gateway.limits import WAITING_PER_SLOT
from serving.protocol import MAX_ROWS

TIMES: Final = 4
WARM_UP, ALONE, FULL, SECONDS = 6, 100, 96, 60
CALLERS: Final = MAX_ROWS * (1 + WAITING_PER_SLOT)
"""As many as there is room for."""


@dataclass(frozen=True, kw_only=True)
class LoadRow(Row):
    """What became of the requests of one part, refusals included."""

    offered_rps: float
    refused: int
    refused_p99_ms: float
    refused_max_ms: float


def row(answers: Sequence[Answer], seconds: float, concurrency: int | None, note: str) -> LoadRow:
    """The answers of `seconds` of load."""
    drawn = [each for each in answers if each.ok]
    refused = [each for each in answers if each.status == HTTPStatus.TOO_MANY_REQUESTS]
    return LoadRow(
        server="rats serve",
        concurrency=concurrency,
        mix="/".join(map(str, MIX)),
        batching=f"steps, {MAX_ROWS}",
        throughput_rps=round(len(drawn) / seconds, 1),
        p50_ms=milliseconds(drawn, 50),
        p99_ms=milliseconds(drawn, 99),
        errors=len(answers) - len(drawn) - len(refused),
        note=note,
        offered_rps=round(len(answers) / seconds, 1),
        refused=len(refused),
        refused_p99_ms=milliseconds(refused, 99) if refused else 0,
        refused_max_ms=milliseconds(refused, 100) if refused else 0,
    )


async def measure(url: str, device: str) -> list[LoadRow]:
    """Alone, then as many callers as there is room for, then too many."""
    await closed_loop(url, bodies(WARM_UP), 1)
    alone = row(*await closed_loop(url, bodies(ALONE, WARM_UP), 1), 1, device)
    full = row(*await closed_loop(url, bodies(FULL, WARM_UP + ALONE), CALLERS), CALLERS, device)
    pace = TIMES * full.throughput_rps
    answers = await open_loop(url, bodies(round(pace * SECONDS), WARM_UP + ALONE + FULL), pace)
    note = f"{device}; {TIMES} times what {CALLERS} callers get, for {SECONDS} s"
    return [alone, full, row(answers, SECONDS, None, note)]


def run() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Overload the endpoint on a simulated device.")
    parser.add_argument("--step-ms", type=float, default=40, help="how long the device takes for a step")
    step_ms = parser.parse_args().step_ms
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repo, keys = packaged(teacher_dir(), folder).path.parents[1], folder / "keys"
        with running("endpoint", [repo, "simulated"], keys, {STEP_MS: str(step_ms)}) as server:
            rows = asyncio.run(measure(server.url, f"simulated device, {step_ms:g} ms a step"))
    write_rows("overload", rows)
    for each in rows:
        sys.stdout.write(f"{asdict(each)}\n")
    alone, _, over = rows
    sys.stdout.write(
        f"99 of 100 pictures within {over.p99_ms / alone.p99_ms:.2f} times what they take a caller who is alone, "
        f"all refusals within {over.refused_max_ms:.0f} ms\n"
    )


if __name__ == "__main__":
    sys.exit(exit_status(run))
