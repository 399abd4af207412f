"""Signing a folder and checking it: every file of it, and nothing else, is what the key's owner signed.

The signature is a Sigstore bundle made offline by model-signing, so `model_signing verify key` checks it as well.
"""

import ast
import os
from pathlib import Path

from model_signing import hashing, signing, verifying

from rats_train.errors import UserError

SIGNATURE = "model.sig"
SUFFIXES = frozenset({".safetensors", ".json", ".txt", ".png"})
"""What a package may hold: weights and data, nothing that runs when it is read (no pickle, no code)."""


def sign_folder(folder: Path, private_key: Path) -> None:
    """Write `folder`/model.sig over all files of `folder`."""
    config = signing.Config().use_elliptic_key_signer(private_key=private_key)
    config.set_hashing_config(_hashing()).sign(folder, folder / SIGNATURE)


def verify_folder(folder: Path, public_key: Path) -> None:
    """Check that `folder` is exactly what was signed.

    Raises:
        UserError: a byte differs, a file is extra or missing, something is a link or not a plain file, a file is of a
            kind that a package never holds, or the signature is missing or another key's.
    """
    signature = folder / SIGNATURE
    if not signature.is_file():
        raise UserError(f"{folder} is not signed: it has no {SIGNATURE}; package the student again")
    check_files(folder)
    config = verifying.Config().use_elliptic_key_verifier(public_key=public_key).set_hashing_config(_hashing())
    try:
        config.verify(folder, signature)
    except Exception as error:  # a damaged bundle fails in many ways, and each must end in a refusal
        raise UserError(f"{folder} is refused: {_reason(error)}; package the student again") from error


def check_files(folder: Path) -> None:
    """Refuse links, devices and files of a kind that is not weights or data.

    Raises:
        UserError: naming the file.
    """
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent) / name
            if path.is_symlink():
                raise UserError(f"{path} is a link: a package holds its own files only")
            if path.is_dir() or (parent == str(folder) and name == SIGNATURE):
                continue
            if not path.is_file() or path.suffix not in SUFFIXES:
                raise UserError(f"{path} does not belong in a package: it holds {', '.join(sorted(SUFFIXES))} only")


def _hashing() -> hashing.Config:
    # The default leaves git's files out of the signature: then one could be added unseen.
    return hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _reason(error: Exception) -> str:
    _, mismatch, differences = str(error).partition("Signature mismatch: ")
    if mismatch:
        # A list of sentences follows, as Python writes it; their digests tell nobody anything.
        sentences = ast.literal_eval(differences)  # reads literals, runs nothing
        return "; ".join(each.split(": Expected")[0] for each in sentences)
    if "Key mismatch" in str(error):
        return "it is signed by a key that is not the trusted one"
    return f"its signature is damaged ({type(error).__name__})"
