"""Prompts with their categories, from the files of known benchmarks and from plain text.

| suffix   | format                                  | tags                    |
| -------- | --------------------------------------- | ----------------------- |
| `.tsv`   | PartiPrompts: a header with ``Prompt``  | `category`, `challenge` |
| `.jsonl` | GenEval's ``evaluation_metadata.jsonl`` | `category`, its ``tag`` |
| `.csv`   | DrawBench: a header with ``Prompts``    | `category`              |
| others   | one prompt a line                       | none                    |
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from itertools import zip_longest
from typing import Any

from rats_train.errors import UserError


@dataclass(frozen=True)
class TaggedPrompt:
    """A prompt and what kind of prompt it is, such as ``{"category": "Animals", "challenge": "Imagination"}``.

    ``metadata`` is the whole row of a table or of GenEval, for rewards that read it.
    """

    text: str
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def parse_prompts(text: str, suffix: str, source: str) -> list[TaggedPrompt]:
    """The prompts of a file in order, blank ones left out.

    Args:
        text: what the file holds.
        suffix: the ending of its name, which tells the format.
        source: its name, for the error.

    Raises:
        UserError: it is not of the format that its suffix promises.
    """
    parsers = {".tsv": _parti, ".jsonl": _geneval, ".csv": _drawbench}
    parse = parsers.get(suffix.lower())
    rows = parse(text, source) if parse else [TaggedPrompt(line.strip()) for line in text.splitlines()]
    return [row for row in rows if row.text]


def take_turns(prompts: Sequence[TaggedPrompt]) -> list[TaggedPrompt]:
    """The same prompts, each text once, so that the first few are of every category alike.

    Benchmarks list category after category; the first hundred lines of one would all be of a single kind.
    """
    unique: dict[str, TaggedPrompt] = {}
    for prompt in prompts:
        unique.setdefault(prompt.text, prompt)
    groups: dict[str, list[TaggedPrompt]] = {}
    for prompt in unique.values():
        groups.setdefault(prompt.tags.get("category", ""), []).append(prompt)
    return [prompt for turn in zip_longest(*groups.values()) for prompt in turn if prompt is not None]


def _parti(text: str, source: str) -> list[TaggedPrompt]:
    rows = csv.DictReader(StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    return _table(rows, source, {"category": "Category", "challenge": "Challenge"}, "Prompt", "PartiPrompts")


def _drawbench(text: str, source: str) -> list[TaggedPrompt]:
    return _table(csv.DictReader(StringIO(text)), source, {"category": "Category"}, "Prompts", "DrawBench")


def _table(
    rows: "csv.DictReader[str]", source: str, tags: Mapping[str, str], prompt: str, name: str
) -> list[TaggedPrompt]:
    missing = [column for column in (prompt, *tags.values()) if column not in (rows.fieldnames or [])]
    if missing:
        raise UserError(
            f"{source} has no column {missing[0]}: a file of this ending is read as {name}, whose first line is a "
            f"header with {', '.join((prompt, *tags.values()))}. Name a plain list of prompts .txt."
        )
    return [
        TaggedPrompt((row[prompt] or "").strip(), {tag: row[key].strip() for tag, key in tags.items() if row[key]}, row)
        for row in rows
    ]


def _geneval(text: str, source: str) -> list[TaggedPrompt]:
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                row = json.loads(line)
                found.append(TaggedPrompt(row["prompt"].strip(), {"category": str(row["tag"])}, row))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise UserError(
                    f"{source}, line {number}, is no row of GenEval: each holds a JSON object with prompt and tag."
                ) from error
    return found
