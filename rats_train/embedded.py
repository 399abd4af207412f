"""Where the checkpoints that ship inside the package lie: a tiny teacher and two tiny reward models."""

from pathlib import Path

from rats_train.errors import UserError

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
    """The folder that ``teacher.path`` names; ``embedded`` is the package's own.

    Raises:
        UserError: it is ``embedded``, and not built here.
    """
    return teacher_dir() if path == "embedded" else Path(path).expanduser()


def reward_folder(path: str) -> Path:
    """The folder that a reward's ``path`` names; ``embedded:a`` and ``embedded:b`` are the package's own.

    Raises:
        UserError: it is an embedded one that does not exist, or is not built here.
    """
    embedded, _, which = path.partition(":")
    return reward_dir(which) if embedded == "embedded" else Path(path).expanduser()


def _existing(name: str) -> Path:
    path = _CHECKPOINTS / name
    if not path.is_dir():
        raise UserError(f"The embedded checkpoint {path} is missing: run `rats world build`.")
    return path
