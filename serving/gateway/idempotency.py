"""`Idempotency-Key`: a request that is sent again under the key of one that was answered gets that very answer.

Without it, a retry after a lost connection draws, and counts, once more.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from cachetools import TTLCache
from fastapi import Header, Response

from serving.gateway.auth import ApiKey
from serving.gateway.errors import ApiError
from serving.gateway.image_request import ImageRequest

KEPT_SECONDS = 600
KEPT_BYTES = 32 * 2**20

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="Sent again with the same body, it gets the same answer."),
]


@dataclass(frozen=True)
class Answered:
    """An answer that was given."""

    request: str
    """Digest of the request's body."""
    content: bytes
    media_type: str


class Answers:
    """The answers of the last minutes, by caller and key."""

    def __init__(self) -> None:
        self._kept: TTLCache[tuple[str, str], Answered] = TTLCache(
            KEPT_BYTES, KEPT_SECONDS, getsizeof=lambda answer: len(answer.content)
        )
        self._in_flight: set[tuple[str, str]] = set()

    @contextmanager
    def once(self, caller: ApiKey | None, key: str | None, body: ImageRequest) -> Iterator["Slot"]:
        """The place of a request among those of its caller.

        Raises:
            ApiError: 409, the first one is still at work; 422, it asked for something else.
        """
        if key is None:
            yield Slot(self, None, "")
            return
        place = (caller.name if caller else "", key)
        digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
        before = self._kept.get(place)
        if before is not None and before.request != digest:
            message = "this Idempotency-Key was used for another body: take a new key for a new request"
            raise ApiError(422, message, param="Idempotency-Key", code="idempotency_key_reused")
        if place in self._in_flight:
            message = "the first request with this Idempotency-Key is still at work: ask again in a moment"
            raise ApiError(409, message, param="Idempotency-Key", code="idempotency_key_in_use", retry_after=1)
        self._in_flight.add(place)
        try:
            yield Slot(self, place, digest)
        finally:
            self._in_flight.discard(place)

    def get(self, place: tuple[str, str]) -> Answered | None:
        """The answer that is kept there."""
        return self._kept.get(place)

    def keep(self, place: tuple[str, str], answer: Answered) -> None:
        """Keep an answer, unless it is larger than all that is kept."""
        if len(answer.content) <= KEPT_BYTES:
            self._kept[place] = answer


@dataclass(frozen=True)
class Slot:
    """One request's place; without a key nothing is kept."""

    answers: Answers
    place: tuple[str, str] | None
    digest: str

    def replay(self) -> Response | None:
        """The answer that was given before, if there was one."""
        before = self.answers.get(self.place) if self.place else None
        if before is None:
            return None
        return Response(before.content, media_type=before.media_type, headers={"Idempotent-Replayed": "true"})

    def keep(self, content: bytes, media_type: str) -> None:
        """Remember the answer."""
        if self.place:
            self.answers.keep(self.place, Answered(self.digest, content, media_type))
