"""Asking a reward server: with time-outs, in again after a failure, and never the wrong server."""

import logging
import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import httpx2
from pydantic import ValidationError
from torch import Tensor

from rats_train.errors import RetryableError, UserError
from rats_train.rewards.remote.wire import ABOUT, DIGEST_HEADER, HEALTH, SAFETENSORS, Description, unpack

PATIENCE: Final = 20.0
"""Seconds for which a server that does not answer is asked again before `RewardAwayError`, where nobody says more."""
BUSY_PATIENCE: Final = 120.0
"""The same for one that answers that it is busy."""
CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 300.0
"""How long one request may take: its place in the server's queue and its scoring."""
HEALTH_SECONDS: Final = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0

_BUSY = (429, 503)
# Not that of `random`, which a caller may have seeded: pauses are to differ between the ranks of a run.
_jitter = random.SystemRandom()
_log = logging.getLogger(__name__)


class RewardAwayError(RetryableError):
    """The reward ``name`` at ``url``, known by ``digest`` ("" before it was ever seen), does not answer: ``reason``."""

    def __init__(self, name: str, url: str, digest: str, reason: str) -> None:
        super().__init__(name, url, digest, reason)  # all of them, so that the error can travel between ranks
        self.name, self.url, self.digest, self.reason = name, url, digest, reason

    @property
    def what(self) -> str:
        """The failure alone, without the cure."""
        return f"Reward {self.name} does not answer at {self.url} ({self.reason})"

    def __str__(self) -> str:
        return f"{self.what}: start it there with `rats reward serve`, then run the same command again."


class _Failure(NamedTuple):
    """Why a request failed, and the seconds that a busy server asks to wait; None if it is not merely busy."""

    reason: str
    retry_after: float | None = None


class RewardClient:
    """A connection to the server of the reward ``name``, kept open between requests.

    Args:
        url: as the recipe has it.
        name: the reward's, for errors.
        patience: seconds for which a server that does not answer is asked again.
    """

    def __init__(self, url: str, name: str, patience: float = PATIENCE) -> None:
        self._url, self._name, self._patience = url, name, patience
        limits = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx2.Client(base_url=url, timeout=limits)
        self._digest = ""

    def describe(self) -> Description:
        """What the server says of its reward; from now on no other reward is taken from it.

        Raises:
            RewardAwayError: it does not answer.
            UserError: it is no reward server, or serves another reward than before.
        """
        answer = self._send(lambda: self._http.get(ABOUT))
        try:
            description = Description.model_validate_json(answer.content)
        except ValidationError as error:
            raise self._not_ours() from error
        self._digest = self._same(description.digest)
        return description

    def ask(self, path: str, body: bytes, rows: int, *, gradient: bool = False) -> dict[str, Tensor]:
        """Send a body and get tensors of as many rows, on the CPU.

        Args:
            path: of the server.
            body: a safetensors file.
            rows: pictures in it.
            gradient: whether the answer is to hold the gradient too.

        Raises:
            RewardAwayError: it does not answer.
            UserError: it refuses the body, or serves another reward than before.
        """
        headers, params = {"Content-Type": SAFETENSORS}, {"gradient": "true"} if gradient else {}
        answer = self._send(lambda: self._http.post(path, content=body, params=params, headers=headers))
        self._same(answer.headers.get(DIGEST_HEADER, ""))
        tensors = unpack(answer.content)
        if any(tensor.shape[:1] != (rows,) for tensor in tensors.values()):
            raise self._not_ours()
        return tensors

    def _send(self, request: Callable[[], httpx2.Response]) -> httpx2.Response:
        """The answer to ``request``, made again with growing pauses until there is one."""
        began, attempt = time.monotonic(), 0
        while isinstance(answer := self._try(request), _Failure):
            patience = self._patience if answer.retry_after is None else max(self._patience, BUSY_PATIENCE)
            left = began + patience - time.monotonic()
            pause = max(_pause(attempt), answer.retry_after or 0)
            away = RewardAwayError(self._name, self._url, self._digest, answer.reason)
            if pause > left:
                raise away
            if not attempt and left > BUSY_PATIENCE:
                _log.warning("%s; asking again for %.0f minutes", away.what, left / 60)
            time.sleep(pause)
            attempt += 1
        return answer

    def _try(self, request: Callable[[], httpx2.Response]) -> httpx2.Response | _Failure:
        """One attempt.

        Raises:
            UserError: the server says that the request is wrong, so that another would be too.
        """
        try:
            answer = request()
        except httpx2.TransportError as error:
            return _Failure(_in_words(error))
        if answer.status_code < 400:
            return answer
        if answer.status_code in _BUSY and "Retry-After" in answer.headers:
            seconds = answer.headers["Retry-After"]
            return _Failure("it is busy", float(seconds) if seconds.isdigit() else 0.0)
        if answer.status_code >= 500 or answer.status_code in _BUSY:
            return _Failure(f"it answers {answer.status_code}: {_said(answer)}")
        if answer.status_code in (404, 405):
            raise self._not_ours()
        raise UserError(f"Reward {self._name} at {self._url} refuses what it was sent: {_said(answer)}")

    def _same(self, digest: str) -> str:
        if self._digest not in ("", digest):
            raise other_reward(self._name, self._url, self._digest, digest)
        return digest

    def _not_ours(self) -> UserError:
        return UserError(
            f"What answers at {self._url} is no reward server for reward {self._name}: write the address that "
            "`rats reward serve` prints."
        )


def look(away: RewardAwayError) -> str | None:
    """Why the server of ``away`` still cannot score, in one attempt; None if it is back.

    Raises:
        UserError: it is back with another reward, or something else has taken its place.
    """
    try:
        health = httpx2.get(f"{away.url.rstrip('/')}{HEALTH}", timeout=HEALTH_SECONDS)
        if health.status_code != 200:
            return f"it answers {health.status_code}: {_said(health)}"
        served = RewardClient(away.url, away.name, patience=0).describe()
    except httpx2.TransportError as error:
        return _in_words(error)
    except RewardAwayError as error:
        return error.reason
    if away.digest not in ("", served.digest):
        raise other_reward(away.name, away.url, away.digest, served.digest)
    return None


def other_reward(name: str, url: str, before: str, now: str) -> UserError:
    """The refusal of a server that came back as another."""
    return UserError(
        f"Reward {name} at {url} is no longer what this run began with (digest {now[:12] or 'none'}, before "
        f"{before[:12]}): serve the same weights there, or start a new run with these."
    )


def _pause(attempt: int) -> float:
    """Seconds before the next attempt: doubled each time, up to a bound, and shortened by chance to at least half."""
    return min(FIRST_PAUSE * 2.0 ** min(attempt, 16), LONGEST_PAUSE) * _jitter.uniform(0.5, 1.0)


def _in_words(error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    return " ".join(str(error).split()) or type(error).__name__


def _said(answer: httpx2.Response) -> str:
    """The server's own words, in one line."""
    try:
        said = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        said = answer.text[:200]
    return " ".join(str(said).split()) or "no words"
