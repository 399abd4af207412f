"""Whether a manifest is one that Kubernetes knows, field by field, by the types of its own client.

The API server drops or refuses what it does not know; the client's classes name every field of every kind and its type,
and refuse to be made without a field that must be there.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubernetes import client

_PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def wrong_fields(manifest: dict[str, Any]) -> list[str]:
    """What Kubernetes does not know in the manifest, each with its place; then the first thing that it misses."""
    return list(_walk(manifest, _class_of(manifest), manifest["kind"])) or _missing(manifest)


def _missing(manifest: dict[str, Any]) -> list[str]:
    try:
        client.ApiClient().deserialize(_Answer(json.dumps(manifest)), _class_of(manifest))
    except ValueError as error:
        return [f"{manifest['kind']}: {error}"]
    return []


@dataclass(frozen=True)
class _Answer:
    """What the client reads an object from."""

    data: str


def _class_of(manifest: dict[str, Any]) -> str:
    return manifest["apiVersion"].rpartition("/")[2].replace("v", "V") + manifest["kind"]


def _walk(value: Any, kind: str, place: str) -> Iterator[str]:
    if many := re.fullmatch(r"list\[(.*)\]", kind):
        yield from _many(value, many[1], place)
    elif pairs := re.fullmatch(r"dict\((\w+), (.*)\)", kind):
        yield from _pairs(value, pairs[2], place)
    elif kind in _PLAIN:
        # A quantity or a port may be a number as well as a string; a bool is neither.
        if not isinstance(value, _PLAIN[kind]) or (kind != "bool" and isinstance(value, bool)):
            yield f"{place} is {value!r}, not {kind}"
    elif kind != "object":
        yield from _object(value, kind, place)


def _many(value: Any, kind: str, place: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{place} is no list"
        return
    for number, each in enumerate(value):
        yield from _walk(each, kind, f"{place}[{number}]")


def _pairs(value: Any, kind: str, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place} is no mapping"
        return
    for name, each in value.items():
        yield from _walk(each, kind, f"{place}.{name}")


def _object(value: Any, kind: str, place: str) -> Iterator[str]:
    described = getattr(client, kind, None)
    if described is None or not isinstance(value, dict):
        yield f"{place} is no {kind}"
        return
    fields = {described.attribute_map[name]: type_ for name, type_ in described.openapi_types.items()}
    for name, each in value.items():
        if name in fields:
            yield from _walk(each, fields[name], f"{place}.{name}")
        else:
            yield f"{place}.{name} is unknown"
