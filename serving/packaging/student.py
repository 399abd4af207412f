"""A student's folder as a signed version in a Triton model repository."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from rats_train.errors import UserError
from rats_train.files import read_json, sha256_tree, space_for, write_json
from rats_train.models.adapter_file import ADAPTER_FILE, check_adapter
from serving.drawing.draw import draw
from serving.drawing.stepping import Stepper
from serving.keys import signing_keys
from serving.package.contents import FORMAT, Package
from serving.package.hints import PromptHints
from serving.package.signature import check_files, sign_folder
from serving.packaging.publishing import publish, staging_folder

_ADAPTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def package_student(
    student_dir: Path,
    out_repo: Path,
    scorecard: Path | None = None,
    *,
    prompts: Sequence[str] = (),
    pattern: str = "",
    adapters: Mapping[str, Path] | None = None,
    name: str = "student",
    keys: Path | None = None,
) -> Path:
    """Make `student_dir` the next version of model `name` in `out_repo`; returns the version folder.

    The same student packaged again is the version that it already is. A version appears whole or not at all. It is
    served from the start if no other one is that could be; otherwise `promotion.promote` makes it so.

    Args:
        student_dir: a folder written by `FlowModel.save_student`.
        out_repo: the Triton model repository, made if missing.
        scorecard: the evaluation that travels with the version.
        prompts: what the student was trained on; its words and a few examples travel along (`serving.package.hints`).
        pattern: regular expression that those prompts match in lower case, where they have a grammar.
        adapters: folders or files of LoRA adapters for the student, by the names that requests call them.
        name: the model's name in the repository and at the endpoint.
        keys: folder of the signing key pair; this user's own by default, made on first use.

    Raises:
        UserError: `student_dir` is not a student, or holds a file that a package must not hold; or an adapter is none;
            or the disk is full.
    """
    if not (student_dir / "rats_student.json").is_file():
        raise UserError(f"{student_dir} is not a student: it has no rats_student.json, which training writes")
    key_pair = signing_keys(keys)
    with space_for(out_repo / name), staging_folder(out_repo) as staging:
        check_files(student_dir)
        shutil.copytree(student_dir, staging / "student", copy_function=shutil.copyfile)
        if scorecard is not None:
            shutil.copyfile(scorecard, staging / "scorecard.json")
        for adapter, source in (adapters or {}).items():
            _copy_adapter(adapter, source, staging)
        package = _describe(staging, name, PromptHints.from_prompts(prompts, pattern))
        sign_folder(staging, key_pair.private)
        return publish(staging, out_repo / name, package.is_video, key_pair.public)


def _copy_adapter(name: str, source: Path, folder: Path) -> None:
    if not _ADAPTER_NAME.fullmatch(name):
        raise UserError(f"an adapter cannot be called {name!r}: use up to 64 letters, digits, - and _")
    file = source / ADAPTER_FILE if source.is_dir() else source
    check_adapter(file)
    target = folder / "adapters" / name
    target.mkdir(parents=True)
    shutil.copyfile(file, target / ADAPTER_FILE)


def _describe(folder: Path, name: str, hints: PromptHints) -> Package:
    """Draw the canary and write `package.json`."""
    facts = read_json(folder / "student/rats_student.json")
    canary = {"prompt": hints.examples[0] if hints.examples else "a picture", "seed": 0, "steps": min(facts["steps"])}
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "model": name,
        "student_sha256": sha256_tree(folder / "student"),
        "canary": canary,
        "hints": asdict(hints),
        "adapters": sorted(path.name for path in folder.glob("adapters/*")),
        **{key: facts[key] for key in ("steps", "guidance_scale", "terminal_sigma", "resolution")},
    }
    package = Package.read(folder, manifest)
    (pixels,) = draw(Stepper(package), [package.canary])
    Image.fromarray(pixels.reshape(-1, *pixels.shape[-2:])).save(folder / "canary.png")
    write_json(folder / "package.json", manifest)
    return package
