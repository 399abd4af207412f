"""The files of registered rewards on this machine: put where `rats_train` looks for them, and checked on the way."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rats_train.config import Recipe
from rats_train.errors import UserError
from rats_train.files import sha256_tree
from rats_train.rewards.folder import REGISTERED, registered_folder

if TYPE_CHECKING:
    from components.shared.reward_registry import RewardRegistry, RewardVersion

# Weights and configuration; anything else that lies beside them, a pickle above all, stays where it is.
KEPT = (".safetensors", ".json", ".txt", ".model")


def keep(folder: Path) -> str:
    """Copy what belongs to the reward in ``folder`` to this machine's registered rewards; returns its digest.

    Raises:
        UserError: there are no weights as safetensors.
    """
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix in KEPT]
    if not any(file.suffix == ".safetensors" for file in files):
        raise UserError(f"{folder} holds no .safetensors file: name the folder of a reward model, or convert it first.")
    with _draft() as draft:
        for file in files:
            copy = Path(draft) / "files" / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        digest = sha256_tree(Path(draft) / "files")
        _place(Path(draft) / "files", registered_folder(digest))
    return digest


def fetch(registry: "RewardRegistry", version: "RewardVersion") -> None:
    """Have the files of ``version`` on this machine; those that are there already are left alone.

    Raises:
        UserError: the registry's files are not those that were registered.
    """
    place = registered_folder(version.digest)
    if place.is_dir():
        return
    with _draft() as draft:
        files = registry.download(version, Path(draft))
        found = sha256_tree(files)
        if found != version.digest:
            raise UserError(
                f"The registry's files of {version.path} are not those that were registered: their SHA-256 is "
                f"{found[:12]}..., and was {version.digest[:12]}...; register the true ones again, as a new version."
            )
        _place(files, place)


def fetch_rewards(recipe: Recipe) -> None:
    """Have every registered reward of a resolved recipe on this machine, which may not be the one that resolved it.

    Raises:
        UserError: a version is gone, or its files are not those that were registered.
        RetryableError: the tracker did not answer.
    """
    missing = [
        spec.path
        for spec in (*recipe.rewards.train, *recipe.rewards.heldout)
        if spec.path and REGISTERED.fullmatch(spec.path) and spec.digest and not registered_folder(spec.digest).is_dir()
    ]
    if missing:
        from components.shared.reward_registry import RewardRegistry  # brings MLflow, seconds to import
        from components.shared.tracker import tracker

        with tracker() as client:
            registry = RewardRegistry(client)
            for path in missing:
                fetch(registry, registry.find(path))


def _draft() -> "tempfile.TemporaryDirectory[str]":
    """A folder on the same file system as the registered rewards, so that a rename moves what is in it."""
    root = registered_folder("")
    root.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=root, prefix=".draft-")


def _place(files: Path, place: Path) -> None:
    """Rename ``files`` to their ``place`` at once; whoever came first with the same bytes keeps it."""
    try:
        files.rename(place)
    except OSError:
        if not place.is_dir():
            raise
