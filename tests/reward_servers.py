"""Reward servers for tests: in a thread of this process, or as the process that `rats reward serve` starts."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.base import Reward
from rats_train.rewards.build import load_reward
from rats_train.rewards.digest import reward_digest
from rats_train.rewards.remote.wire import Description
from reward_server.app import create_app
from reward_server.scorer import Scorer
from serving.listener import listen


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with listen("127.0.0.1", 0) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(app: object, port: int = 0) -> Iterator[str]:
    """Serve any ASGI application over real HTTP; yields its URL."""
    listener = listen("127.0.0.1", port)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def served(spec: RewardSpec, *, places: int = 16, port: int = 0, reward: Reward | None = None) -> Iterator[str]:
    """Serve a reward of ours in a thread; yields its URL."""
    reward = reward or load_reward(spec)
    with serving(
        create_app(Scorer(reward, places), Description.of(reward, spec.kind, reward_digest(spec))), port
    ) as url:
        yield url


def start_process(reward: str, port: int = 0) -> tuple["subprocess.Popen[str]", str]:
    """`rats reward serve` as a process of its own, ready; the process and its URL.

    It computes on one thread, as the tests themselves do: another number sums in another order.
    """
    command = [sys.executable, "-m", "pipelines.cli", "reward", "serve", reward, "--port", str(port)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    assert process.stdout is not None
    said = ""
    while line := process.stdout.readline():
        said += line
        if found := re.search(r"Ready at (http://\S+?),", line):
            return process, found[1]
    raise AssertionError(f"the server did not start: {said}")
