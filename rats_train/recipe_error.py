"""What is wrong with a recipe, in one sentence that says what to write instead."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, recipe: type[BaseModel], methods: Mapping[str, type[BaseModel]]) -> str:
    """The first thing pydantic found, as one sentence with the dotted key, the value and what is allowed.

    Args:
        error: what validation raised.
        recipe: the model that was validated.
        methods: the model of its section ``method`` by the method's name.
    """
    # A typo in a required key is both an unknown and a missing one: the typo is what to show.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location = first["loc"]
    key = ".".join(str(part) for part in _as_written(location))
    if first["type"] == "extra_forbidden":
        valid = _keys_beside(location, recipe, methods)
        nearest = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"the keys here are {', '.join(valid)}."
        return f"unknown key {key}; {hint}"
    if first["type"] == "missing":
        return f"{key} is missing; add it."
    if first["type"] == "union_tag_invalid":
        return f"{key}.name is {first['ctx']['tag']!r}; it must be one of {', '.join(methods)}."
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    return f"{message}." if first["type"] == "value_error" else f"{key} is {first['input']!r}; {message}."


def _as_written(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A location without the method's name, which pydantic puts between the section and its keys."""
    return location[:1] + location[2:] if location[:1] == ("method",) else location


def _keys_beside(
    location: Sequence[int | str], recipe: type[BaseModel], methods: Mapping[str, type[BaseModel]]
) -> list[str]:
    """The keys that are valid where ``location`` ends."""
    model = recipe
    for part in location[:-1]:
        if model is recipe and part == "method":
            model = methods[str(location[1])]
            break
        if isinstance(part, str):
            model = _section_of(model.model_fields[part].annotation)
    return list(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel]:
    """The section class of a field that is one, or a list of them."""
    inner: type[BaseModel] = annotation if isinstance(annotation, type) else annotation.__args__[0]
    return inner
