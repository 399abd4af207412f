"""How a gateway treats those who ask, and what may be offered to whom."""

from dataclasses import dataclass, field
from pathlib import Path

from rats_train.errors import UserError
from serving.gateway.auth import ApiKeys, api_key_file, is_loopback
from serving.gateway.finishing import Finisher
from serving.gateway.nsfw import NsfwGuard
from serving.gateway.provenance import Signer


@dataclass(frozen=True)
class GatewaySettings:
    """How a gateway treats those who ask.

    Attributes:
        api_keys: who is let in; None: everybody.
        finisher: what happens to a picture before it is handed out.
        log_prompts: whether prompts are written into the log.
    """

    api_keys: ApiKeys | None = None
    finisher: Finisher = field(default_factory=Finisher)
    log_prompts: bool = False


def public_settings(
    host: str, keys: Path | None = None, *, nsfw_guard: bool = False, log_prompts: bool = False, everybody: bool = False
) -> GatewaySettings:
    """Settings of a gateway that people reach at `host`: it signs pictures, and asks for a key if there is any.

    Args:
        host: address that it listens on.
        keys: folder of API keys and of the key that signs pictures; this user's own by default.
        nsfw_guard: whether unsafe pictures are withheld.
        log_prompts: whether prompts are written into the log.
        everybody: whether callers need no API key, whatever `host` is.

    Raises:
        UserError: other machines would be let in without a key, or a part of it is missing.
    """
    api_keys = ApiKeys(api_key_file(keys))
    asks = bool(api_keys.all()) and not everybody
    if not (asks or everybody or is_loopback(host)):
        raise UserError(
            f"{host} can be reached from other machines, and there is no API key: make one with `rats keys add NAME`, "
            "or let everybody in with --everybody"
        )
    guard = NsfwGuard() if nsfw_guard else None
    return GatewaySettings(api_keys if asks else None, Finisher(Signer(keys), guard), log_prompts)
