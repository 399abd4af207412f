"""Cron as Kubeflow Pipelines reads it: six fields, seconds first."""

import re

from rats_train.errors import UserError

# Name, lowest and highest value of each field, and the names that may stand for values.
FIELDS = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of the week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_PART = re.compile(r"(?P<first>\*|\?|\w+)(-(?P<last>\w+))?(/(?P<step>\d+))?")


def check_cron(text: str, where: str) -> None:
    """Accept six fields of numbers, names, ranges, lists and steps.

    Args:
        text: such as ``0 30 2 * * mon-fri``.
        where: what the text belongs to, for the message.

    Raises:
        UserError: it is not that; five fields are answered with the six that were meant.
    """
    fields = text.split()
    if len(fields) == 5:
        raise UserError(f'{where} has five fields, and Kubeflow reads six, seconds first: write "0 {text}".')
    if len(fields) != len(FIELDS):
        names = ", ".join(name for name, *_ in FIELDS)
        raise UserError(f'{where} is "{text}": write six fields ({names}), such as "0 30 2 * * *".')
    for field, (name, low, high, names) in zip(fields, FIELDS, strict=True):
        for part in field.split(","):
            if not _fits(part, low, high, names):
                raise UserError(
                    f'{where}: {part} is no {name}; write {low} to {high}, *, a range or a step like "*/5".'
                )


def _fits(part: str, low: int, high: int, names: tuple[str, ...]) -> bool:
    match = _PART.fullmatch(part.lower())
    if match is None or match["step"] == "0":
        return False
    if match["first"] in ("*", "?"):
        return match["last"] is None
    ends = [_value(each, low, names) for each in (match["first"], match["last"] or match["first"])]
    return None not in ends and low <= ends[0] <= ends[1] <= high  # type: ignore[operator]


def _value(text: str, low: int, names: tuple[str, ...]) -> int | None:
    if text.isdigit():
        return int(text)
    return names.index(text) + low if text in names else None
