"""Memory over ten thousand requests of every kind, refused and abandoned ones among them.

    python -m benchmarks.serving.endurance

The student is a tiny one of random weights: what counts is what an answer leaves behind in gateway, Triton and stub.
Pictures asked for as URLs are kept for an hour, 64 MiB of them at most, and answers to requests with an
`Idempotency-Key` for ten minutes, 32 MiB at most: that much growth is meant, and in the figures.

Results go to ``benchmarks/results/serving_endurance.json``.
"""

import asyncio
import contextlib
import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import torch

from benchmarks.serving.load import PATH, bodies
from benchmarks.serving.results import FOLDER, provenance
from benchmarks.serving.servers import MIX, Server, packaged, running
from benchmarks.table import exit_status
from rats_train.files import write_json
from tests.tiny_pipelines import tiny_sd3

REQUESTS: Final = 10_000
WARM_UP: Final = 200
LOOKS: Final = 10
CALLERS: Final = 8


@dataclass(frozen=True)
class Row:
    """Resident megabytes after so many requests."""

    requests: int
    gateway_mb: float
    triton_mb: float
    stub_mb: float


def kinds() -> Iterator[dict[str, Any]]:
    """Requests without end: plain, as URLs, as WebP, streamed, abandoned, to be remembered by key, refused."""
    changes: list[dict[str, Any]] = [
        {},
        {"response_format": "url"},
        {"output_format": "webp"},
        {"stream": True, "partial_images": 1},
        {"stream": True, "partial_images": 1, "leave": True},
        {"key": True},
        {"num_inference_steps": 4},
    ]
    for number, body in enumerate(itertools.cycle(bodies(len(changes) * 12))):
        yield {**body, "seed": number, "num_inference_steps": min(MIX), **changes[number % len(changes)]}


async def ask(http: httpx.AsyncClient, number: int, body: dict[str, Any]) -> int:
    """One of them; the status of its answer."""
    leave, key = body.pop("leave", False), body.pop("key", False)
    headers = {"Idempotency-Key": str(number)} if key else {}
    async with http.stream("POST", PATH, json=body, headers=headers) as answer:
        async for _ in answer.aiter_bytes():
            if leave:
                break
    return answer.status_code


async def ask_many(url: str, requests: Iterator[tuple[int, dict[str, Any]]], count: int) -> Counter[int]:
    """`count` of `requests` by eight callers; how many had which status."""
    some, seen = itertools.islice(requests, count), Counter[int]()

    async def caller(http: httpx.AsyncClient) -> None:
        for number, body in some:
            seen[await ask(http, number, body)] += 1

    async with httpx.AsyncClient(base_url=url, timeout=120) as http:
        await asyncio.gather(*(caller(http) for _ in range(CALLERS)))
    return seen


def row(server: Server, requests: int) -> Row:
    """What they hold now."""
    held = {name: round(size / 1e6, 1) for name, size in server.memory().items()}
    return Row(requests, held["gateway"], held["triton"], held["stub"])


def measure(server: Server) -> tuple[list[Row], Counter[int]]:
    """Memory after each tenth of the requests, and their statuses."""
    requests = enumerate(kinds())
    asyncio.run(ask_many(server.url, requests, WARM_UP))
    rows, seen = [row(server, 0)], Counter[int]()
    for look in range(1, LOOKS + 1):
        seen += asyncio.run(ask_many(server.url, requests, REQUESTS // LOOKS))
        rows.append(row(server, REQUESTS * look // LOOKS))
        sys.stdout.write(f"{rows[-1]}\n")
        sys.stdout.flush()
    return rows, seen


def run() -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        torch.manual_seed(0)
        tiny_sd3().save_pretrained(folder / "teacher")
        repo, keys = packaged(folder / "teacher", folder).path.parents[1], folder / "keys"
        server = stack.enter_context(running("endpoint", [repo], keys))
        rows, seen = measure(server)
    first, last = (each.gateway_mb + each.triton_mb + each.stub_mb for each in (rows[0], rows[-1]))
    statuses = {str(status): count for status, count in sorted(seen.items())}
    grown = {"grown_mb": round(last - first, 1), "statuses": statuses}
    write_json(FOLDER / "serving_endurance.json", {**provenance(), **grown, "rows": [asdict(each) for each in rows]})
    sys.stdout.write(f"{grown}\n")


if __name__ == "__main__":
    sys.exit(exit_status(run))
