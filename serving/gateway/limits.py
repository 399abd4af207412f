"""How much may be asked for: by one key, and by all together. What is over is refused at once, before any work."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from serving.gateway.auth import ApiKey
from serving.gateway.errors import ApiError

WAITING_PER_SLOT = 1
"""Pictures that may wait for each one that is drawn: nobody who is let in waits longer than drawing takes."""
WAITING_WHEN_TOO_MANY = 0.5
"""The same while more are wanted than there is room for: as many slots are in use, and everybody waits half as long."""
RETRY_SECONDS = 1
"""When to come back: until then, what was refused is still wanted."""


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


class Refusals:
    """Pictures that were refused within the last `RETRY_SECONDS`."""

    def __init__(self) -> None:
        self._each: deque[tuple[float, int]] = deque()
        self._count = 0

    def add(self, images: int, now: float) -> None:
        """`images` are refused."""
        self._each.append((now, images))
        self._count += images

    def count(self, now: float) -> int:
        """How many there are."""
        while self._each and self._each[0][0] <= now - RETRY_SECONDS:
            self._count -= self._each.popleft()[1]
        return self._count


class Limits:
    """What is in the making, and what each key has asked for of late."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._models: Counter[str] = Counter()
        self._refused: defaultdict[str, Refusals] = defaultdict(Refusals)
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
        self._check_room(model, images, slots)
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

    def _check_room(self, model: str, images: int, slots: int) -> None:
        making, refused, now = self._models[model], self._refused[model], self._clock()
        room = slots * (1 + WAITING_PER_SLOT)
        if making + images + refused.count(now) > room:
            room = int(slots * (1 + WAITING_WHEN_TOO_MANY))
        if making + images > room:
            refused.add(images, now)
            message = f"{making} pictures are in the making, and there is room for {room} now: try again soon"
            raise ApiError(429, message, code="queue_full", retry_after=RETRY_SECONDS)

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
