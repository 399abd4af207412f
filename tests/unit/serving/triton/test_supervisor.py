"""The supervisor's decisions, with stand-ins for Triton and for drawing; the real ones are in tests/integration."""

import asyncio

import numpy as np
import pytest

from rats_train.errors import RetryableError
from serving.keys import signing_keys
from serving.package.promotion import promote, served
from serving.packaging.student import package_student
from serving.protocol import Job
from serving.triton import supervisor as supervising
from serving.triton.client import BrokenError, Picture
from serving.triton.supervisor import Supervisor

FOREVER = Job("forever", 0, 3)


class Triton:
    """A server that loads at once, or fails as the test says."""

    def __init__(self):
        self.client, self.alive, self.error, self.while_loading = None, True, None, None

    async def load(self, model, timeout):
        if self.while_loading is not None:
            await self.while_loading()
        if self.error is not None:
            raise self.error

    async def instances(self, model):
        return 2

    async def unload(self, model, timeout):
        pass


@pytest.fixture(scope="module")
def made(tiny_student_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("supervisor")
    for prompt in ("two owls", "a fox"):
        package_student(tiny_student_dir, folder / "models", prompts=[prompt], keys=folder / "keys")
    return folder / "models", signing_keys(folder / "keys").public


@pytest.fixture
def watched(made, monkeypatch):
    repo, public = made
    promote(repo, 1, public_key=public)
    supervisor = Supervisor(repo, public)
    supervisor._triton = Triton()
    supervisor._failures.clear()

    async def draw_picture(client, model, job, timeout, on_preview=None):
        if job == FOREVER:
            await asyncio.Event().wait()
        package = supervisor.packages[model]
        return Picture(job.steps, package.canary_pixels() if job == package.canary else np.zeros((64, 64, 3), np.uint8))

    monkeypatch.setattr(supervising, "draw_picture", draw_picture)
    return supervisor


def test_what_a_dead_stub_had_begun_fails_when_the_repair_begins(watched):
    async def run():
        drawing = asyncio.create_task(watched.draw("student", FOREVER, 60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await watched._repair("student", "the stub is dead")
        with pytest.raises(BrokenError):
            await asyncio.wait_for(drawing, 5)
        assert "student" not in watched._failures  # and it is well again

    asyncio.run(run())


def test_a_caller_that_gives_up_is_cancelled_and_not_told_of_a_failure(watched):
    async def run():
        drawing = asyncio.create_task(watched.draw("student", FOREVER, 60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        drawing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(drawing, 5)
        assert watched._drawing == {"student": set()}

    asyncio.run(run())


def test_a_promotion_is_followed(watched, made):
    promote(made[0], 2, public_key=made[1])
    asyncio.run(watched._follow_promotion("student"))
    assert watched.packages["student"].version == 2


def test_a_version_that_triton_refuses_is_withdrawn(watched, made):
    watched._triton.error = RetryableError("Triton could not load student: another canary")
    promote(made[0], 2, public_key=made[1])
    asyncio.run(watched._follow_promotion("student"))
    assert watched.packages["student"].version == 1
    assert served(made[0] / "student") == 1


def test_a_server_that_dies_while_loading_is_no_fault_of_the_version(watched, made):
    watched._triton.error, watched._triton.alive = RetryableError("connection reset"), False
    promote(made[0], 2, public_key=made[1])
    with pytest.raises(BrokenError, match="connection reset"):
        asyncio.run(watched._follow_promotion("student"))
    assert served(made[0] / "student") == 2


def test_health_stays_true_while_versions_change(watched, made, monkeypatch):
    # Either version may draw the canary then.
    async def draw_picture(*_):
        return Picture(3, np.zeros((64, 64, 3), np.uint8))

    async def health():
        monkeypatch.setattr(supervising, "draw_picture", draw_picture)
        watched._last_success["student"] = 0.0
        await watched.prove("student", 5)
        monkeypatch.setattr(supervising, "draw_picture", as_before)

    as_before = supervising.draw_picture
    promote(made[0], 2, public_key=made[1])
    watched._triton.while_loading = health
    asyncio.run(watched._follow_promotion("student"))
    assert watched.packages["student"].version == 2


def test_another_picture_than_the_canary_is_no_health(watched, monkeypatch):
    async def draw_picture(*_):
        return Picture(3, np.zeros((64, 64, 3), np.uint8))

    monkeypatch.setattr(supervising, "draw_picture", draw_picture)
    watched._last_success["student"] = 0.0
    with pytest.raises(BrokenError, match="levels away from the picture in its package"):
        asyncio.run(watched.prove("student", 5))
