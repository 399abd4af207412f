"""What is wrong with a Dockerfile, by the few rules that ours keep; no image can be built where these tests run."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import Requirement

BASE = "${PYTHON_IMAGE}"
_DIGEST_CHECK = re.compile(r'case "\$\{PYTHON_IMAGE\}" in \*@sha256:\*\) ;; \*\) .*exit 1')
_SECRET = re.compile(r"(?i)(^|[\s_])(password|passwd|secret|token|credentials?|api_?key|access_?key)=")


@dataclass
class Stage:
    """One stage: what it is built on, and its instructions as (word, rest of the line)."""

    base: str
    lines: list[tuple[str, str]] = field(default_factory=list)


def stages(text: str) -> dict[str, Stage]:
    """The stages by name, or by number where they have none."""
    found: dict[str, Stage] = {}
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word.upper() == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name or str(len(found))] = Stage(base)
        elif found:
            list(found.values())[-1].lines.append((word.upper(), rest.strip()))
    return found


def faults(text: str, root: Path) -> list[str]:
    """What is wrong, each with its stage, where ``root`` is the folder that it is built from."""
    known = stages(text)
    found = [f"{name}: {fault}" for name, stage in known.items() for fault in _faults(name, stage, known, root)]
    if not _DIGEST_CHECK.search(text):
        found.append("a base without a digest is not refused")
    return found


def packages(root: Path, extras: set[str]) -> set[Requirement]:
    """What the project itself and some of its extras ask for."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    asked = {Requirement(line) for line in project["dependencies"]}
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            requirement = Requirement(line)
            ours = requirement.name == project["name"]
            asked |= packages(root, requirement.extras) if ours else {requirement}
    return asked


def _faults(name: str, stage: Stage, known: dict[str, Stage], root: Path) -> Iterator[str]:
    earlier = list(known)[: list(known).index(name)]
    if stage.base != BASE and stage.base not in earlier:
        yield f"is built on {stage.base}, which is no pinned image"
    needed = {each.base for each in known.values()} | _copied_from(known)
    if name not in needed and not re.fullmatch(r"[1-9]\d*:[1-9]\d*", _user(stage, known)):
        yield f"runs as {_user(stage, known) or 'root'}"
    for word, rest in stage.lines:
        if word == "ADD":
            yield "adds, where COPY would do"
        if word in ("ARG", "ENV") and _SECRET.search(rest):
            yield f"{word} {rest.partition('=')[0]} holds a secret"
        if word == "COPY":
            yield from _copy_faults(shlex.split(rest), earlier, root)
        if word == "RUN":
            yield from _run_faults(rest, root)


def _copied_from(known: dict[str, Stage]) -> set[str]:
    lines = [rest for stage in known.values() for word, rest in stage.lines if word == "COPY"]
    return {match[1] for rest in lines if (match := re.match(r"--from=(\S+)", rest))}


def _user(stage: Stage, known: dict[str, Stage]) -> str:
    own = [rest for word, rest in stage.lines if word == "USER"]
    return own[-1] if own else _user(known[stage.base], known) if stage.base in known else ""


def _copy_faults(words: list[str], earlier: list[str], root: Path) -> Iterator[str]:
    if words[0].startswith("--from="):
        if words[0].removeprefix("--from=") not in earlier:
            yield f"copies {words[0]}, which is no stage above"
        return
    let_in = [line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in words[:-1]:
        if not (root / source).exists():
            yield f"copies {source}, which is not there"
        if not any(f"{source}/".startswith(f"{each}/") for each in let_in):
            yield f"copies {source}, which .dockerignore keeps out"


def _run_faults(command: str, root: Path) -> Iterator[str]:
    if re.search(r"\b(curl|wget)\b", command):
        yield "fetches something that no digest pins"
    for part in re.split(r"&&|;", command):
        words = shlex.split(part)
        if "install" in words and any(word.endswith("pip") for word in words):
            yield from _pip_faults(words[words.index("install") + 1 :], root)


def _pip_faults(words: list[str], root: Path) -> Iterator[str]:
    constrained = False
    rest = iter(words)
    for word in rest:
        if word == "--constraint":
            constrained = next(rest) == "constraints.txt"
        elif word == "-r":
            next(rest)  # a file of pins of its own, copied above
        elif word.startswith("."):
            yield from _unpinned(packages(root, set(word.strip(".[]").split(","))), root)
            if not constrained:
                yield "installs the project without constraints.txt"
        elif not word.startswith("-") and not re.fullmatch(r"[\w.-]+==[\w.]+", word):
            yield f"installs {word} in any version"


def _unpinned(asked: set[Requirement], root: Path) -> Iterator[str]:
    pins = [Requirement(line) for line in (root / "constraints.txt").read_text().splitlines() if "==" in line]
    versions = {_normal(pin.name): next(iter(pin.specifier)).version for pin in pins}
    for requirement in asked:
        version = versions.get(_normal(requirement.name))
        if version is None or version not in requirement.specifier:
            yield f"constraints.txt pins {requirement.name} at {version}, and {requirement} is asked for"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
