"""Prompts of one's own: a text file with one prompt a line."""

from pathlib import Path

from rats_train.errors import UserError


def read_prompts(path: str, key: str) -> list[str]:
    """The prompts of a file in order, without blank lines.

    Args:
        path: the file; ``~`` is the home folder.
        key: the recipe's key that names it, for the error.

    Raises:
        UserError: the file is missing or holds no prompt.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"{key}: no file {file}; write `embedded`, or a text file with one prompt a line.")
    prompts = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    if not prompts:
        raise UserError(f"{key}: {file} holds no prompt; write one a line.")
    return prompts
