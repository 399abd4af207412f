"""What is wrong with a recipe, in one sentence that says what to write instead."""

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, recipe: type[BaseModel], method: type[BaseModel]) -> str:
    """The first thing pydantic found, as one sentence with the dotted key, the value and what is allowed.

    Args:
        error: what validation raised.
        recipe: the model that was validated.
        method: the model of its section ``method``.
    """
    # A typo in a required key is both an unknown and a missing one: the typo is what to show.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location = first["loc"]
    key = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        valid = _keys_beside(location, recipe, method)
        nearest = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"the keys here are {', '.join(valid)}."
        return f"unknown key {key}; {hint}"
    if first["type"] == "missing":
        return f"{key} is missing; add it."
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    return f"{message}." if first["type"] == "value_error" else f"{key} is {first['input']!r}; {message}."


def _keys_beside(location: Sequence[int | str], recipe: type[BaseModel], method: type[BaseModel]) -> list[str]:
    """The keys that are valid where ``location`` ends."""
    model = recipe
    for part in location[:-1]:
        if model is recipe and part == "method":
            model = method
        elif isinstance(part, str):
            model = _section_of(model.model_fields[part].annotation)
    return list(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel]:
    """The section class of a field that is one, or a list of them."""
    inner: type[BaseModel] = annotation if isinstance(annotation, type) else annotation.__args__[0]
    return inner
