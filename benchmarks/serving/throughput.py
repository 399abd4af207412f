"""The endpoint against the same student behind plain FastAPI and stock diffusers, side by side in one run.

    python -m benchmarks.serving.throughput

Callers of mixed 3, 5 and 8 steps at concurrency 1, 4 and 16, over HTTP on loopback. Rounds of all servers take turns,
because the machine may be busy with other work; for the same reason the processor time that a picture cost stands
beside throughput and latency. "diffusers" is the pipeline called in the benchmark's own process, behind no server.

Results go to ``benchmarks/results/serving.json``.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.serving.load import Answer, bodies, closed_loop, joined, median_rate, milliseconds
from benchmarks.serving.plain_server import Pipeline
from benchmarks.serving.results import Row, write_rows
from benchmarks.serving.servers import MIX, Server, packaged, running
from benchmarks.table import exit_status
from rats_train.embedded import teacher_dir

CONCURRENCY: Final = (1, 4, 16)
REQUESTS, ROUNDS = 96, 2

Measured = tuple[list[Answer], float]
Load = Callable[[Sequence[dict[str, Any]], int], Measured]


@dataclass(frozen=True)
class Subject:
    """A server to measure: the load that it is put under, and the processor time that it has taken so far."""

    server: str
    batching: str
    concurrency: Sequence[int]
    load: Load
    cpu_seconds: Callable[[], float]
    note: str = "embedded model on the CPU"


@dataclass(frozen=True, kw_only=True)
class CostRow(Row):
    """Medians over the rounds of one server at one concurrency, and the processor time that a picture cost."""

    cpu_ms_per_picture: float


def over_http(name: str, batching: str, server: Server) -> Subject:
    """A server behind its address."""

    def load(requests: Sequence[dict[str, Any]], callers: int) -> Measured:
        return asyncio.run(closed_loop(server.url, requests, callers))

    return Subject(name, batching, CONCURRENCY, load, server.cpu_seconds)


def bare(pipeline: Pipeline) -> Subject:
    """Stock diffusers in this process."""

    def load(requests: Sequence[dict[str, Any]], _: int) -> Measured:
        answers, began = [], time.perf_counter()
        for each in requests:
            asked = time.perf_counter()
            pipeline.draw(each["prompt"], each["seed"], each["num_inference_steps"])
            answers.append(Answer(HTTPStatus.OK, time.perf_counter() - asked))
        return answers, time.perf_counter() - began

    return Subject("diffusers", "none", CONCURRENCY[:1], load, time.process_time)


def measure(subjects: Sequence[Subject]) -> list[CostRow]:
    """A row for each server and concurrency; they take turns in every round, and are asked for the same pictures."""
    for subject in subjects:
        subject.load(bodies(len(MIX)), 1)
    cases = [(subject, callers) for subject in subjects for callers in subject.concurrency]
    rounds: list[list[Measured]] = [[] for _ in cases]
    cpu: list[list[float]] = [[] for _ in cases]
    for turn in range(ROUNDS):
        for number, (subject, callers) in enumerate(cases):
            before = subject.cpu_seconds()
            first = len(MIX) + REQUESTS * (turn * len(CONCURRENCY) + CONCURRENCY.index(callers))
            rounds[number].append(subject.load(bodies(REQUESTS, first), callers))
            cpu[number].append((subject.cpu_seconds() - before) / REQUESTS)
    return [_row(case, *seen) for case, *seen in zip(cases, rounds, cpu, strict=True)]


def _row(case: tuple[Subject, int], rounds: list[Measured], cpu: list[float]) -> CostRow:
    (subject, callers), answers = case, joined(rounds)
    drawn = [each for each in answers if each.ok]
    return CostRow(
        server=subject.server,
        concurrency=callers,
        mix="/".join(map(str, MIX)),
        batching=subject.batching,
        throughput_rps=median_rate(rounds),
        cpu_ms_per_picture=round(1000 * statistics.median(cpu), 1),
        p50_ms=milliseconds(drawn, 50),
        p99_ms=milliseconds(drawn, 99),
        errors=len(answers) - len(drawn),
        note=subject.note,
    )


def run() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        package, keys = packaged(teacher_dir(), folder), folder / "keys"
        repo = package.path.parents[1]

        def started(name: str, batching: str, module: str, *arguments: str | Path) -> Subject:
            return over_http(name, batching, stack.enter_context(running(module, arguments, keys)))

        subjects = [
            bare(Pipeline(str(package.student))),
            started("fastapi + diffusers", "none", "plain_server", package.student),
            started("rats serve", "none", "endpoint", repo, "one_by_one"),
            started("rats serve", "steps, 8", "endpoint", repo),
        ]
        rows = measure(subjects)
    write_rows("throughput", rows)
    for row in rows:
        sys.stdout.write(
            f"{row.server:20} {row.batching:8} x{row.concurrency:<2} {row.throughput_rps:6.2f}/s "
            f"{row.cpu_ms_per_picture:6.1f} cpu ms, p50 {row.p50_ms:7.1f} ms, p99 {row.p99_ms:7.1f} ms, "
            f"{row.errors} errors\n"
        )


if __name__ == "__main__":
    sys.exit(exit_status(run))
