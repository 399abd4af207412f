"""The offline key pair that packages are signed with: made once, kept in the user's own folder, never in a package.

The private key is needed where students are packaged; a server needs the public one only.
"""

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rats_train.errors import UserError
from rats_train.files import atomic_write_bytes


@dataclass(frozen=True)
class KeyPair:
    """Where a signing key and its public half are."""

    private: Path
    public: Path


def key_folder() -> Path:
    """Folder of this user's keys: `$RATS_KEYS`, or `~/.config/rats/keys`."""
    return Path(os.environ.get("RATS_KEYS") or Path.home() / ".config/rats/keys")


def signing_keys(folder: Path | None = None, name: str = "signing") -> KeyPair:
    """The key pair `name` in `folder` (this user's own by default), made on first use; readable by its owner only."""
    folder = folder or key_folder()
    pair = KeyPair(folder / f"{name}.pem", folder / f"{name}.pub.pem")
    if not pair.private.exists():
        _make_private_key(pair.private)
    if not pair.public.exists():
        _write_public_key(pair)
    return pair


def trusted_key(folder: Path | None = None) -> Path:
    """The public key that packages are checked with.

    Raises:
        UserError: there is none yet.
    """
    public = (folder or key_folder()) / "signing.pub.pem"
    if not public.is_file():
        raise UserError(
            f"no public key at {public}: package a student here first, or copy the packager's "
            "signing.pub.pem there (RATS_KEYS names another folder)"
        )
    return public


def _make_private_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # readable by its owner only
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    # A link publishes the whole file, and only if nobody was faster: packagers that start together share one key.
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    Path(draft).unlink()


def _write_public_key(pair: KeyPair) -> None:
    private = serialization.load_pem_private_key(pair.private.read_bytes(), password=None)
    encoding, layout = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    atomic_write_bytes(pair.public, private.public_key().public_bytes(encoding, layout))
