"""A version appears in its model repository whole or not at all, and once."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rats_train.errors import UserError
from rats_train.files import sha256_file
from serving.package.repository import served_version, versions, write_config
from serving.package.signature import SIGNATURE, verify_folder
from serving.package.verification import verify_package
from serving.protocol import ModelConfig


@contextmanager
def staging_folder(repo: Path) -> Iterator[Path]:
    """A folder to build a version in; removed afterwards, if it was not published."""
    # Inside the repository, so that publishing is one rename; Triton looks only at models it is told to load.
    repo.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=repo, prefix=".staging-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(staging: Path, model_dir: Path, video: bool, public_key: Path) -> Path:
    """The signed folder `staging` as the model's next version, or the version that it already is.

    It is served from the start if no other one is that could be.
    """
    model_dir.mkdir(exist_ok=True)
    version_dir = _same_version(model_dir, staging, public_key) or next_version(staging, model_dir)
    if not _serves(model_dir, public_key):
        write_config(model_dir, ModelConfig(model_dir.name, video, int(version_dir.name)))
    return version_dir


def next_version(staging: Path, model_dir: Path) -> Path:
    """`staging`, moved to the next number that is free."""
    number = max((int(path.name) for path in versions(model_dir)), default=0)
    while True:
        number += 1
        try:
            return staging.rename(model_dir / str(number))
        except OSError:
            if not (model_dir / str(number)).exists():
                raise
            # Another packager took this number a moment ago: take the next.


def _same_version(model_dir: Path, staging: Path, public_key: Path) -> Path | None:
    same = (path for path in versions(model_dir) if _same_content(path, staging) and _is_signed(path, public_key))
    return next(same, None)


def _same_content(version_dir: Path, staging: Path) -> bool:
    def files(folder: Path) -> dict[str, str]:
        paths = (path for path in folder.rglob("*") if path.is_file() and path.name != SIGNATURE)
        return {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}

    return files(version_dir) == files(staging)


def _is_signed(version_dir: Path, public_key: Path) -> bool:
    try:
        verify_folder(version_dir, public_key)
    except UserError:
        return False
    return True


def _serves(model_dir: Path, public_key: Path) -> bool:
    try:
        verify_package(served_version(model_dir), public_key)
    except UserError:
        return False
    return True
