"""A reward server that goes away in the middle of training: the run waits with all steps kept, and ends the same."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPModel

from rats_train.config import Recipe, dump_recipe
from rats_train.engine import outages
from rats_train.engine.outages import OUTAGES
from rats_train.engine.ranks import Ranks
from rats_train.engine.records import PROGRESS, read_lines
from rats_train.engine.train import train
from rats_train.errors import RetryableError, UserError
from rats_train.files import read_json
from rats_train.recipe_rewards import RewardSpec
from rats_train.rewards.remote import client
from rats_train.rewards.remote.client import RewardClient
from tests.integration.conftest import changed, with_method
from tests.integration.test_resume import assert_same_run
from tests.reward_servers import free_port, served, start_process


def remote(recipe: Recipe, port: int, **settings: Any) -> Recipe:
    """The recipe with its reward on a server; ``settings`` of the training."""
    spec = {"name": "likeness", "path": f"http://127.0.0.1:{port}"}
    return changed(changed(recipe, "rewards", train=[spec]), "training", **settings)


@pytest.fixture(autouse=True)
def _no_attempts_before_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the twenty seconds in which a request is made again would pass first."""
    monkeypatch.setattr(client, "FIRST_PAUSE", 1e3)
    monkeypatch.setattr(client, "LONGEST_PAUSE", 1e3)
    monkeypatch.setattr(outages, "SECONDS_BETWEEN_LOOKS", 0.1)


@pytest.fixture(scope="module")
def here(tiny_recipe: Recipe) -> RewardSpec:
    """The reward of the tiny recipe, on this machine."""
    return tiny_recipe.rewards.train[0]


@pytest.fixture(scope="module")
def whole(
    tiny_recipe: Recipe, tiny_store: Path, here: RewardSpec, ranks: Ranks, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An undisturbed run with a remote reward."""
    out, port = tmp_path_factory.mktemp("whole"), free_port()
    with served(here, port=port):
        train(remote(tiny_recipe, port), tiny_store, out, ranks)
    return out


class Server:
    """A server in a thread, which can be switched off and on."""

    def __init__(self, spec: RewardSpec) -> None:
        self.spec, self.port, self._stack = spec, free_port(), ExitStack()
        self.on()

    def on(self, spec: RewardSpec | None = None) -> None:
        self._stack.enter_context(served(spec or self.spec, port=self.port))

    def off(self) -> None:
        self._stack.close()


@pytest.fixture
def server(here: RewardSpec) -> Iterator[Server]:
    server = Server(here)
    yield server
    server.off()


def before_request(
    patch: pytest.MonkeyPatch, number: int, event: Callable[[], object], out: Path | None = None
) -> None:
    """Let something happen before the ``number``-th request, or before the first when ``out`` has that many steps."""
    ask, asked, happened = RewardClient.ask, [], []

    def wrapped(self: RewardClient, *words: Any, **more: Any) -> dict[str, torch.Tensor]:
        asked.append(words)
        if not happened and number == (len(read_lines(out / "metrics.jsonl")) if out else len(asked)):
            happened.append(True)
            event()
        return ask(self, *words, **more)

    patch.setattr(RewardClient, "ask", wrapped)


def while_waiting(patch: pytest.MonkeyPatch, event: Callable[[], object]) -> None:
    """Let something happen after the first look at a server that is away, and what is written of it."""
    write, written = outages.write_waiting, []

    def wrapped(*words: Any) -> None:
        write(*words)
        written.append(words)
        if len(written) == 1:
            event()

    patch.setattr(outages, "write_waiting", wrapped)


def test_killed_in_the_middle_of_a_step_and_back_the_run_ends_bit_for_bit_the_same(
    tiny_recipe: Recipe,
    tiny_store: Path,
    here: RewardSpec,
    ranks: Ranks,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A real `rats reward serve`, a real SIGKILL, and the same command again."""
    port = free_port()
    processes = [start_process(str(here.path), port)[0]]
    seen: dict[str, Any] = {}

    def kill() -> None:
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()

    def restart() -> None:
        seen["progress"] = read_json(tmp_path / PROGRESS)
        seen["kept"] = read_json(tmp_path / "checkpoints" / "latest.json")["checkpoints"][-1]["step"]
        again = threading.Thread(target=lambda: processes.append(start_process(str(here.path), port)[0]))
        again.start()

    before_request(monkeypatch, 4, kill)
    while_waiting(monkeypatch, restart)
    try:
        with caplog.at_level(logging.WARNING, "rats_train"):
            train(remote(tiny_recipe, port), tiny_store, tmp_path, ranks)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert_same_run(tmp_path, whole)
    assert len(processes) == 2
    assert seen["kept"] == 3  # checkpoint_every is 2
    what = f"reward likeness at http://127.0.0.1:{port} ([Errno 111] Connection refused)"
    assert seen["progress"] | {"reward_student": 0, "reward_teacher": 0} == {
        "step": 3, "steps": 6, "eta_seconds": None, "reward_student": 0, "reward_teacher": 0,
        "waiting_for": what, "waiting_seconds": 0,
    }  # fmt: skip
    assert "waiting_for" not in read_json(tmp_path / PROGRESS)
    said = [record.getMessage() for record in caplog.records if record.name == outages.__name__]
    assert said[0] == f"after step 3 of 6 waiting for {what}; all steps are kept"
    assert said[1].startswith("reward likeness answers again after ")
    (line,) = read_lines(tmp_path / OUTAGES)
    assert (line["step"], line["reward"], line["ended"]) == (3, "likeness", "answered")
    waited = line["seconds"]
    assert waited > 1
    assert all(step["seconds"] < waited for step in read_lines(tmp_path / "metrics.jsonl"))


def test_a_run_that_gives_up_keeps_its_steps_and_resumes(
    tiny_recipe: Recipe, tiny_store: Path, server: Server, ranks: Ranks, whole: Path, tmp_path: Path
) -> None:
    recipe = changed(remote(tiny_recipe, server.port), "rewards", wait_minutes=0)
    with pytest.MonkeyPatch.context() as patch:
        before_request(patch, 4, server.off)
        with pytest.raises(RetryableError) as caught:
            train(recipe, tiny_store, tmp_path, ranks)
    said = str(caught.value)
    assert said.startswith("Waited 0 minutes (rewards.wait_minutes) for reward likeness at http://127.0.0.1:")
    assert "start it there with `rats reward serve`" in said
    assert said.endswith("it goes on after step 3 of 6.")
    assert read_lines(tmp_path / OUTAGES)[0]["ended"] == "gave up"
    server.on()
    train(changed(recipe, "rewards", wait_minutes=5), tiny_store, tmp_path, ranks)
    assert_same_run(tmp_path, whole)
    assert read_json(tmp_path / "result.json")["resumed_from"] == 3


def test_a_server_that_comes_back_with_other_weights_is_refused(
    tiny_recipe: Recipe,
    tiny_store: Path,
    tiny_reward_dir: Path,
    server: Server,
    ranks: Ranks,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in tiny_reward_dir.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    model = CLIPModel.from_pretrained(other)
    model.logit_scale.data += 1
    model.save_pretrained(other)
    before_request(monkeypatch, 4, server.off)
    while_waiting(monkeypatch, lambda: server.on(RewardSpec(name="likeness", path=str(other))))
    with pytest.raises(UserError, match=r"Reward likeness at http://.* is no longer what this run began with"):
        train(remote(tiny_recipe, server.port), tiny_store, tmp_path / "out", ranks)
    assert read_lines(tmp_path / "out" / OUTAGES)[0]["ended"] == "another reward"
    assert read_json(tmp_path / "out" / "checkpoints" / "latest.json")["checkpoints"][-1]["step"] == 3
    # Nor does the run go on with it when it is started again.
    with pytest.raises(UserError, match="holds the trajectories of another recipe"):
        train(remote(tiny_recipe, server.port), tiny_store, tmp_path / "out", ranks)


def test_asked_to_stop_while_it_waits_a_run_stops(
    tiny_recipe: Recipe, tiny_store: Path, server: Server, ranks: Ranks, whole: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        before_request(patch, 3, server.off)
        while_waiting(patch, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(RetryableError, match=r"Stopped after step 2 of 6, while waiting for reward likeness at"):
            train(remote(tiny_recipe, server.port), tiny_store, tmp_path, ranks)
    server.on()
    train(remote(tiny_recipe, server.port), tiny_store, tmp_path, ranks)
    assert_same_run(tmp_path, whole)


def judged(recipe: Recipe, port: int) -> Recipe:
    """The recipe with a remote held-out reward and a look at the beginning and at the end."""
    heldout = [{"name": "judge", "path": f"http://127.0.0.1:{port}"}]
    return changed(changed(recipe, "rewards", heldout=heldout), "training", steps=2, watch_every=2, checkpoint_every=3)


@pytest.fixture(scope="module")
def whole_judged(
    tiny_recipe: Recipe, tiny_store: Path, here: RewardSpec, ranks: Ranks, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out, port = tmp_path_factory.mktemp("judged"), free_port()
    with served(here, port=port):
        train(judged(tiny_recipe, port), tiny_store, out, ranks)
    return out


@pytest.mark.parametrize("gives_up", [False, True])
def test_a_look_that_needs_the_server_is_made_when_it_is_back(
    tiny_recipe: Recipe,
    tiny_store: Path,
    server: Server,
    ranks: Ranks,
    whole_judged: Path,
    tmp_path: Path,
    gives_up: bool,
) -> None:
    """The held-out reward goes away at the last look; it is missed in no case."""
    recipe = changed(judged(tiny_recipe, server.port), "rewards", wait_minutes=0 if gives_up else 5)
    with pytest.MonkeyPatch.context() as patch:
        before_request(patch, 2, server.off, tmp_path)
        if gives_up:
            with pytest.raises(RetryableError, match="it goes on after step 2 of 2"):
                train(recipe, tiny_store, tmp_path, ranks)
            server.on()
        else:
            while_waiting(patch, server.on)
        train(recipe, tiny_store, tmp_path, ranks)
    assert len(read_lines(tmp_path / OUTAGES)) == 1
    assert_same_run(tmp_path, whole_judged)
    looks, torn = (read_lines(out / "watch.jsonl") for out in (whole_judged, tmp_path))
    assert [look["step"] for look in looks] == [0, 2]
    assert [look | {"seconds": 0} for look in torn] == [look | {"seconds": 0} for look in looks]


@pytest.mark.parametrize("name", ["rats_grpo", "grpo"])
def test_methods_that_draw_at_random_draw_the_same_again(
    tiny_recipe: Recipe, tiny_store: Path, server: Server, ranks: Ranks, tmp_path: Path, name: str
) -> None:
    recipe = with_method(remote(tiny_recipe, server.port, steps=2), name, group_size=2)
    train(recipe, tiny_store, tmp_path / "whole", ranks)
    with pytest.MonkeyPatch.context() as patch:
        before_request(patch, 4, server.off)  # the second score of the second step
        while_waiting(patch, server.on)
        train(recipe, tiny_store, tmp_path / "torn", ranks)
    assert len(read_lines(tmp_path / "torn" / OUTAGES)) == 1
    assert_same_run(tmp_path / "torn", tmp_path / "whole")


def test_a_remote_reward_without_gradient_is_refused_where_one_is_needed(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    with served(RewardSpec(name="rules", kind="verifier")) as url:
        spec = [{"name": "rules", "path": url}]
        recipe = changed(tiny_recipe, "rewards", train=spec)
        with pytest.raises(UserError, match=r"and rules \(http://\S+\) has none: put it under"):
            train(recipe, tiny_store, tmp_path, ranks)


def test_a_server_that_is_not_there_at_the_start_is_one_line(
    tiny_recipe: Recipe, tiny_store: Path, ranks: Ranks, tmp_path: Path
) -> None:
    with pytest.raises(RetryableError, match=r"^Reward likeness does not answer at http://[^\n]*$") as caught:
        train(remote(tiny_recipe, free_port()), tiny_store, tmp_path, ranks)
    assert json.dumps(str(caught.value)).count("\\n") == 0


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rats", "grpo"])
def test_what_one_rank_loses_both_wait_for(
    tiny_recipe: Recipe, tiny_store: Path, server: Server, tmp_path: Path, method: str
) -> None:
    """Under ZeRO-3 every pass of the student is done by all ranks together, and grpo has one behind its rewards."""
    recipe = remote(tiny_recipe, server.port, steps=3, zero_stage=3, checkpoint_every=3)
    recipe = with_method(recipe, "grpo", group_size=2) if method == "grpo" else recipe
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))
    script = Path(__file__).with_name("outage_on_one_rank.py")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, str(script), str(tiny_store), str(tmp_path), str(tmp_path / "recipe.yaml")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (line,) = read_lines(tmp_path / "torn" / OUTAGES)
    assert (line["reason"], line["ended"]) == ("the cable was pulled", "answered")
    assert_same_run(tmp_path / "torn", tmp_path / "whole")
