"""Weights under new names."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

Rule = tuple[str, str]
"""A regular expression, and what to put in its place."""


def renamed(weights: Mapping[str, Tensor], rules: Sequence[Rule]) -> dict[str, Tensor]:
    """The same weights, each name passed through all rules in order."""
    return {_through(name, rules): weight for name, weight in weights.items()}


def _through(name: str, rules: Sequence[Rule]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
