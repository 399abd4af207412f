"""Prompts from a file: one's own, a benchmark's, or ``packaged:pictures`` and its like from the package."""

from pathlib import Path

from rats_train.errors import UserError
from rats_train.prompt_formats import TaggedPrompt, parse_prompts

_PACKAGED = Path(__file__).parent / "recipes" / "prompts"


def prompt_file(path: str, key: str) -> Path:
    """The file that ``path`` names; ``~`` is the home folder.

    Args:
        path: a file, or ``packaged:`` and a name.
        key: the recipe's key that names it, for the error.

    Raises:
        UserError: there is none.
    """
    kind, _, name = path.partition(":")
    file = _PACKAGED / f"{name}.txt" if kind == "packaged" else Path(path).expanduser()
    if not file.is_file():
        packaged = ", ".join(f"packaged:{known.stem}" for known in sorted(_PACKAGED.glob("*.txt")))
        raise UserError(f"{key} names {path}, and there is no such file: name one with a prompt a line, or {packaged}.")
    return file


def read_prompts(path: str, key: str) -> list[str]:
    """The prompts of a file in order, without blank ones.

    Args:
        path: as `prompt_file` takes it.
        key: the recipe's key that names it, for the error.

    Raises:
        UserError: as `read_tagged_prompts`.
    """
    return [prompt.text for prompt in read_tagged_prompts(path, key)]


def read_tagged_prompts(path: str, key: str) -> list[TaggedPrompt]:
    """The prompts of a file in order, with the categories that it gives them (`rats_train.prompt_formats`).

    Args:
        path: as `prompt_file` takes it.
        key: the recipe's key that names it, for the error.

    Raises:
        UserError: the file is missing, holds no prompt, or is not of the format that its name promises.
    """
    file = prompt_file(path, key)
    prompts = parse_prompts(file.read_text(encoding="utf-8-sig"), file.suffix, f"{key}: {file}")
    if not prompts:
        raise UserError(f"{key}: {file} holds no prompt; write one a line.")
    return prompts
