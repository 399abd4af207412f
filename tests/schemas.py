"""Kubernetes' own description of the custom resources that we write, where a checkout has one beside it.

The project does not carry those files: `schema` skips the test that asks for one that is absent.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

FOLDER = Path(os.environ.get("RATS_SCHEMAS", Path(__file__).parents[2] / "shared" / "schemas"))


@cache
def schema(kind: str) -> dict[str, Any]:
    """The schema of a kind of custom resource, such as ``trainjobs``, closed: no field but those it names."""
    file = next(FOLDER.glob(f"*_{kind}.yaml"), None)
    if file is None:
        pytest.skip(f"no description of {kind} in {FOLDER}")
    versions = yaml.safe_load(file.read_text())["spec"]["versions"]
    return _closed(next(version["schema"]["openAPIV3Schema"] for version in versions if version["storage"]))


@cache
def kfp_definitions() -> dict[str, Any]:
    """The definitions in the description of the API of Kubeflow Pipelines, closed."""
    file = FOLDER / "kfp_v2beta1.swagger.json"
    if not file.is_file():
        pytest.skip(f"no description of the API of Kubeflow Pipelines in {FOLDER}")
    closed: dict[str, Any] = _closed(json.loads(file.read_text())["definitions"])
    return closed


def violations(value: Any, described: dict[str, Any]) -> list[str]:
    """What the schema has against the value, each with its place."""
    found = jsonschema.Draft202012Validator(described).iter_errors(value)
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in found]


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {name: _closed(value) for name, value in node.items()}
    keeps = node.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(node.get("properties"), dict) and "additionalProperties" not in node and not keeps:
        # The description of a resource leaves its metadata open; the API server knows it by itself.
        closed["additionalProperties"] = False
    return closed
