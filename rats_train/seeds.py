"""Random numbers by name: every draw is a function of what it is for, never of what was drawn before it."""

import hashlib


def derived_seed(*parts: int | str) -> int:
    """A seed in [0, 2^31) that depends on ``parts`` alone: the same on every rank, machine and resumed run."""
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
