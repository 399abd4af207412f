"""Callers: so many that each ask again once they have their answer, or one new one every so many seconds.

They share the cores with the servers that they measure, so they are made of the client that takes least processor time.
"""

import asyncio
import itertools
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

import aiohttp

from benchmarks.serving.servers import MIX
from rats_train.world.grammar import any_prompts

PATH = "/v1/images/generations"


@dataclass(frozen=True)
class Answer:
    """How a request ended, and how long that took."""

    status: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it brought a picture."""
        return self.status == HTTPStatus.OK


def bodies(count: int, first: int = 0) -> list[dict[str, Any]]:
    """`count` requests of mixed steps, each with a prompt of its own: from the prompt numbered `first` on."""
    prompts = _prompts()
    return [
        {"prompt": prompts[(first + i) % len(prompts)], "seed": i, "num_inference_steps": MIX[i % len(MIX)]}
        for i in range(count)
    ]


@cache
def _prompts() -> list[str]:
    """Different ones: to remember the embeddings of a prompt must not pay here."""
    return list(dict.fromkeys(any_prompts(120_000, 0)))


async def closed_loop(url: str, requests: Sequence[dict[str, Any]], callers: int) -> tuple[list[Answer], float]:
    """All `requests` by so many callers at a time; their answers, and the seconds from the first to the last."""
    left: Iterator[dict[str, Any]] = iter(requests)
    answers: list[Answer] = []

    async def caller(http: aiohttp.ClientSession) -> None:
        for body in left:
            answers.append(await _ask(http, body))

    began = time.perf_counter()
    async with _client(url) as http:
        await asyncio.gather(*(caller(http) for _ in range(callers)))
    return answers, time.perf_counter() - began


async def open_loop(url: str, requests: Sequence[dict[str, Any]], per_second: float) -> list[Answer]:
    """All `requests`, one every 1/`per_second` seconds whatever became of the others."""
    async with _client(url) as http:
        began, asked = time.perf_counter(), []
        for number, body in enumerate(requests):
            await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
            asked.append(asyncio.create_task(_ask(http, body)))
        return await asyncio.gather(*asked)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that so many percent of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def milliseconds(answers: Sequence[Answer], percent: float) -> float:
    """Of the time that answers took."""
    return round(1000 * percentile([each.seconds for each in answers], percent), 1)


def median_rate(rounds: Sequence[tuple[list[Answer], float]]) -> float:
    """Pictures a second."""
    return round(statistics.median(sum(each.ok for each in answers) / seconds for answers, seconds in rounds), 2)


def joined(rounds: Sequence[tuple[list[Answer], float]]) -> list[Answer]:
    """The answers of all rounds."""
    return list(itertools.chain.from_iterable(answers for answers, _ in rounds))


def _client(url: str) -> aiohttp.ClientSession:
    unbounded = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(url, connector=unbounded, timeout=aiohttp.ClientTimeout(120))


async def _ask(http: aiohttp.ClientSession, body: dict[str, Any]) -> Answer:
    began = time.perf_counter()
    try:
        async with http.post(PATH, json=body) as answer:
            await answer.read()
            status = answer.status
    except (aiohttp.ClientError, TimeoutError):
        status = 0
    return Answer(status, time.perf_counter() - began)
