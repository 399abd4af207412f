"""The short memory from which pictures asked for as URLs are fetched."""

import secrets

from cachetools import TTLCache

KEPT_SECONDS = 3600
KEPT_BYTES = 64 * 2**20


class RecentPictures:
    """Files of the last hour, `KEPT_BYTES` at most, under names that cannot be guessed."""

    def __init__(self) -> None:
        self._files: TTLCache[str, tuple[bytes, str]] = TTLCache(
            KEPT_BYTES, KEPT_SECONDS, getsizeof=lambda file: len(file[0])
        )

    def add(self, file: bytes, media_type: str) -> str:
        """Keep a file; returns its name.

        Raises:
            ValueError: it is larger than all that is kept.
        """
        name = secrets.token_urlsafe(16)
        self._files[name] = file, media_type
        return name

    def get(self, name: str) -> tuple[bytes, str] | None:
        """The file called `name` and its media type, None if it was never kept or is forgotten."""
        return self._files.get(name)
