"""Versions change while requests come: none fails, and a version that is not what was signed changes nothing."""

import asyncio
import contextlib
import shutil
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import torch

from rats_train.models.load import load_model
from serving.keys import signing_keys
from serving.package.promotion import promote, roll_back, served
from serving.package.signature import sign_folder
from serving.packaging.student import package_student
from serving.protocol import Job
from serving.triton.supervisor import Supervisor
from tests.tiny_pipelines import tiny_sd3

JOB = Job("two owls", 3, 8)
HAMMERS = 4


@pytest.fixture
def repo(tiny_student_dir: Path, keys: Path, tmp_path: Path) -> Path:
    """Two versions of different weights; the first is served."""
    torch.manual_seed(5)
    tiny_sd3().save_pretrained(tmp_path / "other")
    other = load_model(tmp_path / "other")
    other.save_student(tmp_path / "student", None, terminal_sigma=0.25, steps=[3, 5, 8], guidance_scale=1.0)
    for student in (tiny_student_dir, tmp_path / "student"):
        package_student(student, tmp_path / "models", prompts=["two owls"], keys=keys)
    return tmp_path / "models"


async def hammer(supervisor: Supervisor, drawn: list, stop: asyncio.Event) -> None:
    while not stop.is_set():
        drawn.append((await supervisor.draw("student", JOB, 60)).content.tobytes())


async def until(condition, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def stubs(repo: Path) -> list[psutil.Process]:
    """The processes that hold a version of a student in `repo`."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            command = process.cmdline()
            if command and command[0].endswith("stub") and any(str(repo) in each for each in command):
                found.append(process)
    return found


@pytest.mark.slow
def test_promoting_and_rolling_back_under_load_fails_no_request(repo: Path, keys: Path) -> None:
    public, drawn = signing_keys(keys).public, []

    async def run():
        async with Supervisor(repo, public) as supervisor:
            stop = asyncio.Event()
            hammers = [asyncio.create_task(hammer(supervisor, drawn, stop)) for _ in range(HAMMERS)]

            async def enough():
                count = len(drawn) + 20
                await until(lambda: len(drawn) > count or any(each.done() for each in hammers))

            await enough()
            promote(repo, 2, public_key=public)
            await until(lambda: supervisor.packages["student"].version == 2)
            await enough()
            roll_back(repo, public_key=public)
            await until(lambda: supervisor.packages["student"].version == 1)
            await enough()
            await until(lambda: len(stubs(repo)) == 1)  # an old version goes once it has answered all it had begun
            stop.set()
            await asyncio.gather(*hammers)  # a failed request would raise here

    asyncio.run(run())
    first, second = dict.fromkeys(drawn)
    changes = [after != before for before, after in pairwise(drawn)]
    assert drawn[0] == drawn[-1] == first
    assert drawn.count(second) >= 20
    assert sum(changes) <= 2 + 4 * HAMMERS  # requests of both versions end in any order while one takes over


async def give_up_while_drawn(supervisor: Supervisor, seed: int) -> None:
    begun = asyncio.Event()
    job = Job("a fox", seed, 8, previews=True)
    drawing = asyncio.create_task(supervisor.draw("student", job, 60, lambda _: begun.set()))
    await begun.wait()
    assert drawing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drawing


@pytest.mark.slow
def test_requests_given_up_while_they_were_drawn_keep_no_old_version(repo: Path, keys: Path) -> None:
    public = signing_keys(keys).public

    async def run():
        async with Supervisor(repo, public) as supervisor:
            await asyncio.gather(*(give_up_while_drawn(supervisor, seed) for seed in range(20)))
            promote(repo, 2, public_key=public)
            await until(lambda: supervisor.packages["student"].version == 2)
            await until(lambda: len(stubs(repo)) == 1)
            await supervisor.prove("student", 60)

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["a byte differs", "another canary"])
def test_a_version_that_is_refused_changes_nothing(repo: Path, keys: Path, fault: str) -> None:
    public = signing_keys(keys).public

    async def run():
        async with Supervisor(repo, public) as supervisor:
            drawn, stop = [], asyncio.Event()
            others = asyncio.create_task(hammer(supervisor, drawn, stop))
            await until(lambda: drawn)
            promote(repo, 2, public_key=public)
            spoil(repo / "student/2", keys, fault)
            async with asyncio.timeout(300):
                while served(repo / "student") != 1:
                    await supervisor.prove("student", 5)  # health stays green: version 1 draws on
                    await asyncio.sleep(0.2)
            drawn.append((await supervisor.draw("student", JOB, 60)).content.tobytes())
            stop.set()
            await others
            assert len(set(drawn)) == 1

    asyncio.run(run())
    assert '"why": "refused: ' in (repo / "student/promotions.jsonl").read_text()


def spoil(version: Path, keys: Path, fault: str) -> None:
    if fault == "a byte differs":
        weights = version / "student/transformer/diffusion_pytorch_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    else:
        # Signed by the right key, and yet it does not draw what it says: only drawing finds out.
        shutil.copyfile(version.parent / "1/canary.png", version / "canary.png")
        (version / "model.sig").unlink()
        sign_folder(version, signing_keys(keys).private)
