"""A student from one model repository into another: from where it was judged to where it is served."""

import shutil
from pathlib import Path

from rats_train.files import space_for
from serving.keys import trusted_key
from serving.package.contents import Package
from serving.package.promotion import promote
from serving.package.verification import find_packages
from serving.packaging.publishing import publish, staging_folder


def deploy(source: Path, repo: Path, *, public_key: Path | None = None) -> list[Package]:
    """Let what the model repository `source` serves be served by `repo` from now on; returns the versions there.

    Done twice, it changes nothing.

    Raises:
        UserError: `source` holds no student, or one that is not what was signed, or the disk is full; what was served
            stays.
    """
    public_key = public_key or trusted_key()
    return [_deploy(package, repo, public_key) for package in find_packages(source, public_key)]


def _deploy(package: Package, repo: Path, public_key: Path) -> Package:
    with space_for(repo / package.model), staging_folder(repo) as staging:
        shutil.copytree(package.path, staging, dirs_exist_ok=True, copy_function=shutil.copyfile)
        version_dir = publish(staging, repo / package.model, package.is_video, public_key)
    return promote(repo, int(version_dir.name), model=package.model, public_key=public_key)
