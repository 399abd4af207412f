"""How much may be asked for: by one key, and by all together. What is over is refused at once, before any work."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from serving.gateway.auth import ApiKey
from serving.gateway.errors import ApiError

WAITING_PER_SLOT = 1
"""Pictures that may wait for each one that is drawn: nobody who is let in waits longer than drawing takes."""


class TokenBucket:
    """`per_minute` tokens at most, that many again every minute."""

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute, self._level, self._at = per_minute, float(per_minute), now

    def take(self, count: int, now: float) -> float:
        """Take `count` tokens; returns 0, or the seconds until they are there, and then nothing was taken."""
        rate = self.per_minute / 60
        self._level, self._at = min(self.per_minute, self._level + (now - self._at) * rate), now
        if count > self._level:
            return (count - self._level) / rate
        self._level -= count
        return 0.0


class Limits:
    """What is in the making, and what each key has asked for of late."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._models: Counter[str] = Counter()
        self._callers: Counter[str] = Counter()
        self._buckets: dict[str, TokenBucket] = {}

    @contextmanager
    def admitted(self, key: ApiKey | None, model: str, images: int, slots: int) -> Iterator[None]:
        """Let `images` pictures be in the making while the context lasts.

        Args:
            key: whose they are.
            model: what draws them.
            images: how many.
            slots: how many pictures it draws at once.

        Raises:
            ApiError: 429, not now, or 400, never as many at once.
        """
        room = slots * (1 + WAITING_PER_SLOT)
        if self._models[model] + images > room:
            message = f"{self._models[model]} pictures are in the making, and there is room for {room}: try again soon"
            raise ApiError(429, message, code="queue_full", retry_after=1)
        if key is not None:
            self._charge(key, images)
        caller = key.name if key else ""
        self._models[model] += images
        self._callers[caller] += images
        try:
            yield
        finally:
            self._models[model] -= images
            self._callers[caller] -= images

    def _charge(self, key: ApiKey, images: int) -> None:
        most = min(key.images_at_once, key.images_per_minute)
        if images > most:
            raise ApiError(400, f"n must be at most {most} with this key", param="n", code="invalid_value")
        if self._callers[key.name] + images > key.images_at_once:
            message = f"this key may have {key.images_at_once} pictures in the making: wait until one is done"
            raise ApiError(429, message, code="concurrency_limit_exceeded", retry_after=1)
        now, bucket = self._clock(), self._buckets.get(key.name)
        if bucket is None or bucket.per_minute != key.images_per_minute:
            bucket = self._buckets[key.name] = TokenBucket(key.images_per_minute, now)
        wait = bucket.take(images, now)
        if wait:
            message = f"this key may ask for {key.images_per_minute} pictures a minute: try again in {wait:.0f} s"
            raise ApiError(429, message, code="rate_limit_exceeded", retry_after=wait + 0.5)
