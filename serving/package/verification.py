"""Only what was signed is served: versions checked against their signature and their place in the repository."""

from pathlib import Path

from rats_train.errors import UserError
from rats_train.files import read_json
from serving.keys import trusted_key
from serving.package.contents import FORMAT, Package
from serving.package.repository import read_config, served_version, versions
from serving.package.signature import verify_folder


def verify_package(version_dir: Path, public_key: Path | None = None) -> Package:
    """`verify_version`, and that the model's `config.pbtxt` is one that this release writes.

    Raises:
        UserError: anything differs; the message names the file.
    """
    package = verify_version(version_dir, public_key)
    read_config(version_dir.parent, package.is_video)
    return package


def verify_version(version_dir: Path, public_key: Path | None = None) -> Package:
    """Check a version folder against its signature.

    Raises:
        UserError: anything differs from what was signed; the message names the file.
    """
    verify_folder(version_dir, public_key or trusted_key())
    manifest = read_json(version_dir / "package.json")
    if manifest["format"] != FORMAT:
        raise UserError(
            f"{version_dir} has package format {manifest['format']}, this release reads {FORMAT}: package it again"
        )
    if version_dir.parent.name != manifest["model"]:
        raise UserError(f"{version_dir.parent} holds the model {manifest['model']!r}: give the folder that name")
    return Package.read(version_dir, manifest)


def find_packages(repo: Path, public_key: Path | None = None) -> list[Package]:
    """The served version of each model in `repo`, verified.

    Raises:
        UserError: there is none, or one is not what was signed.
    """
    models = [model_dir for model_dir in sorted(repo.glob("*/")) if versions(model_dir)]
    if not models:
        raise UserError(f"{repo} holds no packaged student: make one with `rats package`")
    return [verify_package(served_version(model_dir), public_key) for model_dir in models]
