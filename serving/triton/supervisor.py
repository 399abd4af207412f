"""Keeps students served: verifies and loads them, asks for a known picture before calling one ready, repairs.

Triton alone does not notice a dead stub: it answers "not healthy" for ever while its own health stays green. So the
question asked here is the one that callers ask: a picture.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from time import monotonic
from typing import Self

from rats_train.errors import RetryableError, UserError
from serving.package.contents import Package
from serving.package.promotion import served, withdraw
from serving.package.verification import find_packages, verify_version
from serving.protocol import MAX_ROWS, Job
from serving.triton.client import BrokenError, BusyError, OnPreview, Picture, draw_picture
from serving.triton.server import TritonServer

LOAD_SECONDS = 600
UNLOAD_SECONDS = 10
CHECK_SECONDS = 2
"""How often the watch looks, and how long one drawn picture counts as proof of health."""
STUCK_SECONDS = 60
"""A model that draws nothing for so long, while asked to, is stuck."""

log = logging.getLogger(__name__)


class Supervisor:
    """A Triton server with the served version of every student in `repo`, kept alive.

    An asynchronous context manager: entered, every student has drawn its canary; left, no process remains.

    Raises:
        UserError: `repo` holds no student, or one that is not what was signed.
        RetryableError: on entry, Triton or a student did not start.
    """

    def __init__(self, repo: Path, trusted_key: Path, triton_log: Path | None = None) -> None:
        self._repo, self._trusted_key = repo, trusted_key
        self.packages: dict[str, Package] = {each.model: each for each in find_packages(repo, trusted_key)}
        self._workdir = Path(tempfile.mkdtemp(prefix=f"rats_{os.getpid()}_"))
        self._triton = TritonServer(repo, self._workdir, trusted_key, triton_log)
        self._failures = dict.fromkeys(self.packages, "starting")
        self._last_success = dict.fromkeys(self.packages, monotonic())
        self._instances = dict.fromkeys(self.packages, 1)
        self._drawing: dict[str, set[asyncio.Task[Picture]]] = {model: set() for model in self.packages}
        self._changing: set[str] = set()
        """Models whose version is just being exchanged: which one draws, nobody can say."""
        self._trouble = asyncio.Event()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except (BrokenError, BusyError) as error:
            await self._stop()
            raise RetryableError(str(error)) from error
        except BaseException:
            await self._stop()
            raise
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watching
        await self._stop()

    async def draw(self, model: str, job: Job, timeout: float, on_preview: OnPreview | None = None) -> Picture:
        """One picture; cancel the task that waits for it, and its slot is free within a step.

        Args:
            model: name of the student.
            job: what to draw.
            timeout: seconds to wait at most.
            on_preview: called with each preview, if the job asks for them.

        Raises:
            RefusedError, BusyError, BrokenError: it was not drawn; after BrokenError the repair has begun.
        """
        if model in self._failures:
            raise BrokenError(self._failures[model])
        try:
            picture = await self._draw(model, job, timeout, on_preview)
        except BrokenError:
            self._last_success[model] = min(self._last_success[model], monotonic() - CHECK_SECONDS)
            self._trouble.set()
            raise
        self._last_success[model] = monotonic()
        return picture

    async def _draw(self, model: str, job: Job, timeout: float, on_preview: OnPreview | None) -> Picture:
        """`draw_picture`, which ends when the model is found dead: a dead stub answers nothing that it had begun."""
        task = asyncio.create_task(draw_picture(self._triton.client, model, job, timeout, on_preview))
        self._drawing[model].add(task)
        try:
            return await task
        except asyncio.CancelledError as error:
            ours = asyncio.current_task()
            if ours is not None and ours.cancelling():  # it is this task that was cancelled
                raise
            raise BrokenError(self._failures.get(model, "it was restarted")) from error
        finally:
            self._drawing[model].discard(task)

    def slots(self, model: str) -> int:
        """How many pictures of `model` are drawn at once."""
        return MAX_ROWS * self._instances[model]

    async def prove(self, model: str, timeout: float) -> None:
        """Return if `model` has just drawn a picture, or draws its canary now.

        Raises:
            BrokenError: it cannot draw, or draws something else.
            BusyError: it did not get to it in `timeout` seconds.
        """
        if model in self._failures:
            raise BrokenError(self._failures[model])
        if monotonic() - self._last_success[model] > CHECK_SECONDS:
            await self._draw_canary(model, timeout)

    async def _draw_canary(self, model: str, timeout: float) -> None:
        package = self.packages[model]
        picture = await draw_picture(self._triton.client, model, package.canary, timeout)
        try:
            if model not in self._changing:
                package.check_canary(picture.pixels)
        except ValueError as error:
            raise BrokenError(str(error)) from error
        self._last_success[model] = monotonic()

    async def _start(self) -> None:
        await self._triton.start()
        for model in self.packages:
            await self._load(model)

    async def _stop(self) -> None:
        await self._triton.stop()
        shutil.rmtree(self._workdir, ignore_errors=True)

    async def _load(self, model: str) -> None:
        found = await asyncio.to_thread(find_packages, self._repo, self._trusted_key)
        self.packages.update({each.model: each for each in found if each.model == model})
        await self._triton.load(model, LOAD_SECONDS)
        self._instances[model] = await self._triton.instances(model)
        await self._draw_canary(model, STUCK_SECONDS)
        self._failures.pop(model, None)
        log.info("%s version %d is ready", model, self.packages[model].version)

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._trouble.wait(), CHECK_SECONDS)
            self._trouble.clear()
            for model in self.packages:
                try:
                    await self._follow_promotion(model)
                    await self._prove_or_stuck(model)
                except BrokenError as error:
                    await self._repair(model, str(error))
                except UserError as error:  # a promotion that could not even be withdrawn: the disk is full
                    log.error("%s: %s", model, error)

    async def _follow_promotion(self, model: str) -> None:
        """Change over to the version that is to be served now, if it is another one; a bad one changes nothing.

        Triton loads it beside the old one, hands it the requests that come from then on, and lets the old one finish.
        """
        wanted, serving = served(self._repo / model), self.packages[model]
        if wanted is None or wanted == serving.version or model in self._failures:
            return
        log.info("%s changes over from version %d to %d", model, serving.version, wanted)
        self._changing.add(model)
        try:
            version_dir = self._repo / model / str(wanted)
            package = await asyncio.to_thread(verify_version, version_dir, self._trusted_key)
            await self._triton.load(model, LOAD_SECONDS)
            self.packages[model] = package
        except (UserError, RetryableError) as error:
            if not self._triton.alive:
                raise BrokenError(str(error)) from error  # no fault of the version's
            log.error("%s goes on with version %d: %s", model, serving.version, error)
            withdraw(serving, wanted, str(error))
            return
        finally:
            self._changing.remove(model)
        await self._draw_canary(model, STUCK_SECONDS)
        log.info("%s version %d is ready", model, wanted)

    async def _prove_or_stuck(self, model: str) -> None:
        try:
            await self.prove(model, STUCK_SECONDS)
        except BusyError as error:
            if monotonic() - self._last_success[model] > STUCK_SECONDS:
                raise BrokenError(f"{model} has drawn nothing for {STUCK_SECONDS} s: {error}") from error

    async def _repair(self, model: str, reason: str) -> None:
        if self._failures.get(model) != reason:
            log.warning("%s is down (%s): repairing", model, reason)
        self._failures[model] = reason
        for task in self._drawing[model]:
            task.cancel()
        try:
            if not (self._triton.alive and await self._reload(model)):
                await self._restart()
        except (RetryableError, UserError, BrokenError, BusyError, OSError) as error:
            self._failures[model] = str(error)
            if str(error) != reason:
                log.error("%s stays down, trying again: %s", model, error)

    async def _reload(self, model: str) -> bool:
        """Give the model a new stub; False if that did not help."""
        try:
            await self._triton.unload(model, UNLOAD_SECONDS)
            await self._load(model)
        except (RetryableError, BrokenError, BusyError) as error:
            log.warning("a new stub for %s did not help (%s): restarting Triton", model, error)
            return False
        return True

    async def _restart(self) -> None:
        self._failures.update(dict.fromkeys(self.packages, "Triton is restarting"))
        for task in set().union(*self._drawing.values()):
            task.cancel()
        await self._triton.stop()
        await self._start()
