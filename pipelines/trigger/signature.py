"""Whether a delivery of a webhook is from MLflow, and from now.

MLflow signs ``<delivery id>.<timestamp>.<body>`` with HMAC-SHA256 and sends ``v1,<base64>``. Whether a delivery has
been seen before is for `pipelines.trigger.ledger`, which remembers for as long as a signature stays valid.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping

SIGNATURE, DELIVERY, TIMESTAMP = "x-mlflow-signature", "x-mlflow-delivery-id", "x-mlflow-timestamp"
VALID_SECONDS = 300


class RefusedError(Exception):
    """A delivery that is not believed; the reason is for the log, never for the sender."""


def check_signature(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> str:
    """Return the delivery's id.

    Args:
        headers: by lower-case name.
        body: as it came, byte for byte.
        secret: that MLflow was given with the webhook.
        now: seconds since 1970.

    Raises:
        RefusedError: a header is missing, the time is more than `VALID_SECONDS` off, or the signature is another.
    """
    try:
        signature, delivery, timestamp = (headers[name] for name in (SIGNATURE, DELIVERY, TIMESTAMP))
        sent = int(timestamp)
    except (KeyError, ValueError) as error:
        raise RefusedError(f"header missing or malformed: {error}") from error
    expected = sign(body, secret, delivery, timestamp)
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise RefusedError("signature does not match")
    if abs(now - sent) > VALID_SECONDS:
        raise RefusedError(f"sent {round(now - sent)} seconds ago")
    return delivery


def sign(body: bytes, secret: str, delivery: str, timestamp: str) -> str:
    """The signature that MLflow sends along."""
    signed = f"{delivery}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
