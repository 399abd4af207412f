"""Where the model of a reward lies on this machine: an embedded one, a folder, the hub's, or a registered one.

A registered reward is named ``hpsv2@3``: name and version in a registry that this library knows nothing of. Whoever
resolves a recipe writes the version's digest beside it and puts its files where `registered_folder` looks.
"""

import os
import re
from pathlib import Path
from typing import Final

from rats_train.embedded import reward_folder
from rats_train.errors import UserError
from rats_train.files import sha256_tree
from rats_train.recipe_rewards import RewardSpec

REGISTERED: Final = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)@(?P<version>[\w.-]+)")
"""A path that names a registered reward; a folder of such a name is written with a slash, ``./hpsv2@3``."""


def registered_folder(digest: str) -> Path:
    """Where this machine keeps the registered reward of these bytes: under ``$RATS_CACHE``, or ``~/.cache/rats``."""
    return Path(os.environ.get("RATS_CACHE") or Path.home() / ".cache" / "rats") / "rewards" / digest


def spec_folder(spec: RewardSpec) -> Path:
    """The folder that a reward with a path names.

    Raises:
        UserError: it is not there, or is a registered one that nobody has resolved.
    """
    assert spec.path is not None
    if not REGISTERED.fullmatch(spec.path):
        folder = reward_folder(spec.path)
    elif spec.digest:
        folder = registered_folder(spec.digest)
    else:
        raise UserError(
            f"Reward {spec.name} names {spec.path}, a registered reward, and no digest: `rats run` finds it in the "
            "registry; elsewhere name a folder that holds it."
        )
    if not folder.is_dir():
        raise UserError(
            f"The path of reward {spec.name} names {folder}, and there is no such folder: write embedded:a, "
            "embedded:b, or a folder that exists."
        )
    return folder


def folder_digest(spec: RewardSpec) -> str:
    """Hex SHA-256 of the folder that ``spec`` names.

    Raises:
        UserError: there is no such folder, or its bytes are others than ``spec.digest`` says.
    """
    folder = spec_folder(spec)
    found = sha256_tree(folder)
    if spec.digest not in (None, found):
        raise UserError(
            f"The files of reward {spec.name} in {folder} are not those that {spec.path} means: their SHA-256 is "
            f"{found[:12]}..., and should be {str(spec.digest)[:12]}...; delete the folder if it was fetched from the "
            "registry, or name the one that the digest is of."
        )
    return found
