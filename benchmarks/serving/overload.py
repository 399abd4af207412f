"""Four times as many requests as the endpoint can draw: who is refused hears it at once, who is let in is served soon.

    python -m benchmarks.serving.overload

The device is simulated (`simulated_device`): a full batch costs a picture no time, and what is left is the wait for a
slot. Requests come at a steady pace, whatever became of those before.

Results go to ``benchmarks/results/serving_overload.json``.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from benchmarks.serving.load import Answer, bodies, closed_loop, milliseconds, open_loop
from benchmarks.serving.results import write_results
from benchmarks.serving.servers import packaged, running
from benchmarks.table import exit_status
from rats_train.embedded import teacher_dir
from serving.gateway.limits import WAITING_PER_SLOT
from serving.protocol import MAX_ROWS

TIMES: Final = 4
ALONE, FULL, SECONDS = 30, 64, 60


@dataclass(frozen=True)
class Row:
    """What became of the requests of one part."""

    load: str
    offered_rps: float
    drawn_rps: float
    drawn: int
    drawn_p50_ms: float
    drawn_p99_ms: float
    refused: int
    refused_p99_ms: float
    refused_max_ms: float
    errors: dict[str, int]
    """How many had which other status; 0 for none at all."""


def row(load: str, answers: Sequence[Answer], seconds: float) -> Row:
    """The answers of `seconds` of load."""
    drawn = [each for each in answers if each.ok]
    refused = [each for each in answers if each.status == HTTPStatus.TOO_MANY_REQUESTS]
    return Row(
        load=load,
        offered_rps=round(len(answers) / seconds, 1),
        drawn_rps=round(len(drawn) / seconds, 1),
        drawn=len(drawn),
        drawn_p50_ms=milliseconds(drawn, 50),
        drawn_p99_ms=milliseconds(drawn, 99),
        refused=len(refused),
        refused_p99_ms=milliseconds(refused, 99) if refused else 0,
        refused_max_ms=milliseconds(refused, 100) if refused else 0,
        errors=Counter(str(each.status) for each in answers if each not in drawn and each not in refused),
    )


async def measure(url: str) -> list[Row]:
    """Alone, then as many callers as there is room for, then too many."""
    await closed_loop(url, bodies(6), 1)
    alone = row("one caller", *await closed_loop(url, bodies(ALONE), 1))
    callers = MAX_ROWS * (1 + WAITING_PER_SLOT)
    full = row(f"{callers} callers", *await closed_loop(url, bodies(FULL), callers))
    pace = TIMES * full.drawn_rps
    answers = await open_loop(url, bodies(round(pace * SECONDS)), pace)
    return [alone, full, row(f"{TIMES} x what {callers} callers get", answers, SECONDS)]


def run() -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repo, keys = packaged(teacher_dir(), folder).path.parents[1], folder / "keys"
        with running("endpoint", [repo, "simulated"], keys) as server:
            rows = asyncio.run(measure(server.url))
    write_results("serving_overload", {"rows": [asdict(each) for each in rows]})
    for each in rows:
        sys.stdout.write(f"{asdict(each)}\n")


if __name__ == "__main__":
    sys.exit(exit_status(run))
