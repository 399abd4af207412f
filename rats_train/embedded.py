"""From the names that a recipe gives its models to folders: those that ship inside the package, own ones, the hub's."""

from pathlib import Path

from rats_train.errors import UserError
from rats_train.hub import fetch, is_hub_id

_CHECKPOINTS = Path(__file__).parent / "world" / "checkpoints"


def teacher_dir() -> Path:
    """The embedded teacher, a stock ``StableDiffusion3Pipeline`` folder.

    Raises:
        UserError: it has not been built here.
    """
    return _existing("teacher")


def reward_dir(which: str) -> Path:
    """The embedded reward model ``"a"`` (to train on) or ``"b"`` (held out), a ``CLIPModel`` folder.

    Raises:
        UserError: there is no such reward, or it has not been built here.
    """
    if which not in ("a", "b"):
        raise UserError(f'No embedded reward "{which}": write embedded:a or embedded:b.')
    return _existing(f"reward_{which}")


def teacher_folder(path: str) -> Path:
    """The folder that ``teacher.path`` names; ``embedded`` is the package's own, ``org/name`` is fetched from the hub.

    Raises:
        UserError: it is ``embedded``, and not built here, or the hub does not give it.
    """
    return teacher_dir() if path == "embedded" else _named(path)


def reward_folder(path: str) -> Path:
    """The folder that a reward's ``path`` names: ``embedded:a`` and ``embedded:b`` are the package's own, and
    ``org/name`` is fetched from the hub.

    Raises:
        UserError: it is an embedded one that does not exist, or is not built here, or the hub does not give it.
    """
    embedded, _, which = path.partition(":")
    return reward_dir(which) if embedded == "embedded" else _named(path)


def _named(path: str) -> Path:
    return fetch(path) if is_hub_id(path) else Path(path).expanduser()


def _existing(name: str) -> Path:
    path = _CHECKPOINTS / name
    if not path.is_dir():
        raise UserError(f"The embedded checkpoint {path} is missing: run `rats world build`.")
    return path
