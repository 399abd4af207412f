"""API keys: random tokens of which a file keeps the SHA-256 alone, each with a name and limits.

A token has 192 random bits, so a plain hash of it cannot be searched; a slow one is for passwords that people choose.
"""

import hashlib
import ipaddress
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from rats_train.errors import UserError
from rats_train.files import read_json, write_json
from serving.gateway.errors import ApiError
from serving.keys import key_folder

_PREFIX = "rats-"
_BEARER = HTTPBearer(auto_error=False, description="An API key, made by `rats keys add`.")


@dataclass(frozen=True)
class ApiKey:
    """A caller who is let in.

    Attributes:
        name: what logs call it.
        sha256: of the token, hexadecimal.
        created: date and time.
        images_per_minute: how many it may ask for; a minute's worth at once.
        images_at_once: how many may be in the making.
    """

    name: str
    sha256: str
    created: str
    images_per_minute: int = 60
    images_at_once: int = 10


def api_key_file(folder: Path | None = None) -> Path:
    """Where the keys of a server are kept, beside the keys that sign packages."""
    return (folder or key_folder()) / "api_keys.json"


class ApiKeys:
    """The keys in a file, which is read again whenever it changes."""

    def __init__(self, file: Path) -> None:
        self._file, self._read_at = file, 0
        self._by_digest: dict[str, ApiKey] = {}

    def all(self) -> list[ApiKey]:
        """Every key, oldest first."""
        changed = self._file.stat().st_mtime_ns if self._file.is_file() else 0
        if changed != self._read_at:
            entries = read_json(self._file) if changed else []
            self._by_digest = {entry["sha256"]: ApiKey(**entry) for entry in entries}
            self._read_at = changed
        return list(self._by_digest.values())

    def find(self, token: str) -> ApiKey | None:
        """The key that `token` is."""
        self.all()
        return self._by_digest.get(_digest(token))

    def add(self, name: str, images_per_minute: int, images_at_once: int) -> str:
        """Make a key; returns its token, which is kept nowhere.

        Raises:
            UserError: there is one of that name.
        """
        keys = self.all()
        if name in (key.name for key in keys):
            raise UserError(f"there is a key {name!r} already: revoke it first, or choose another name")
        token = _PREFIX + secrets.token_urlsafe(24)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write([*keys, ApiKey(name, _digest(token), now, images_per_minute, images_at_once)])
        return token

    def revoke(self, name: str) -> None:
        """Let a key in no more, from the next request on.

        Raises:
            UserError: there is none of that name.
        """
        keys = self.all()
        left = [key for key in keys if key.name != name]
        if len(left) == len(keys):
            known = ", ".join(key.name for key in keys) or "none"
            raise UserError(f"there is no key {name!r}: the keys are {known}")
        self._write(left)

    def _write(self, keys: list[ApiKey]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(self._file, [asdict(key) for key in keys])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def authenticate(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
) -> ApiKey | None:
    """Whose request it is; None where the server asks for no key.

    Raises:
        ApiError: 401, it is nobody's.
    """
    keys: ApiKeys | None = request.app.state.gateway.settings.api_keys
    if keys is None:
        return None
    if credentials is None:
        raise ApiError(401, "no API key: send the header 'Authorization: Bearer <key>'", code="missing_api_key")
    key = keys.find(credentials.credentials)
    if key is None:
        raise ApiError(401, "unknown API key: `rats keys add <name>` makes one", code="invalid_api_key")
    request.state.facts["key"] = key.name
    return key


Caller = Annotated[ApiKey | None, Depends(authenticate)]
"""The key of a request, None where the server asks for none."""


async def only_known(request: Request, caller: Caller) -> None:
    """Refuse callers without a key from other machines, also where pictures are drawn for everybody.

    Raises:
        ApiError: 401.
    """
    if caller is None and not is_loopback(request.client.host if request.client else ""):
        message = "other machines need an API key here: `rats keys add <name>` makes one"
        raise ApiError(401, message, code="missing_api_key")


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
