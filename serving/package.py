"""A student as a signed version in a Triton model repository, and the check that refuses anything else.

repo/student/config.pbtxt
repo/student/1/student/      the stock diffusers folder
               package.json  what it is: steps, size, digests, the canary, hints about prompts that it knows
               canary.png    what this student draws for the canary
               scorecard.json (when one was given)
               model.sig     over all of the above
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rats_train.errors import UserError
from rats_train.files import atomic_write_text, read_json, sha256_file, sha256_tree, write_json
from rats_train.resolution import Resolution
from serving.hints import PromptHints
from serving.keys import signing_keys, trusted_key
from serving.protocol import model_config
from serving.signature import SIGNATURE, check_files, sign_folder, verify_folder

_FORMAT = 2


@dataclass(frozen=True)
class Canary:
    """The request whose answer is known: drawn when packaging, drawn again before a server is called ready."""

    prompt: str
    seed: int
    steps: int


@dataclass(frozen=True)
class Package:
    """One packaged version; `path` is its folder in the model repository."""

    path: Path
    model: str
    steps: list[int]
    guidance_scale: float
    terminal_sigma: float
    resolution: Resolution
    canary: Canary
    hints: PromptHints

    @property
    def version(self) -> int:
        """The version's number."""
        return int(self.path.name)

    @property
    def student(self) -> Path:
        """The stock diffusers folder."""
        return self.path / "student"

    def canary_pixels(self) -> NDArray[np.uint8]:
        """The known answer to the canary, uint8[H, W, 3] or uint8[T, H, W, 3]; its file has frames below each other."""
        with Image.open(self.path / "canary.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        return pixels.reshape(self.resolution.frames, -1, *pixels.shape[1:]) if self.is_video else pixels

    @property
    def is_video(self) -> bool:
        """Whether it draws more than one frame."""
        return self.resolution.frames > 1


def package_student(
    student_dir: Path,
    out_repo: Path,
    scorecard: Path | None = None,
    *,
    prompts: Sequence[str] = (),
    pattern: str = "",
    name: str = "student",
    keys: Path | None = None,
) -> Path:
    """Make `student_dir` the next version of model `name` in `out_repo`; returns the version folder.

    The same student packaged again is the version that it already is. A version appears whole or not at all.

    Args:
        student_dir: a folder written by `FlowModel.save_student`.
        out_repo: the Triton model repository, made if missing.
        scorecard: the evaluation that travels with the version.
        prompts: what the student was trained on; its words and a few examples travel along (`serving.hints`).
        pattern: regular expression that those prompts match in lower case, where they have a grammar.
        name: the model's name in the repository and at the endpoint.
        keys: folder of the signing key pair; this user's own by default, made on first use.

    Raises:
        UserError: `student_dir` is not a student, or holds a file that a package must not hold.
    """
    if not (student_dir / "rats_student.json").is_file():
        raise UserError(f"{student_dir} is not a student: it has no rats_student.json, which training writes")
    key_pair = signing_keys(keys)
    with _staging(out_repo) as staging:
        check_files(student_dir)
        shutil.copytree(student_dir, staging / "student", copy_function=shutil.copyfile)
        if scorecard is not None:
            shutil.copyfile(scorecard, staging / "scorecard.json")
        _describe(staging, name, PromptHints.from_prompts(prompts, pattern))
        sign_folder(staging, key_pair.private)
        (out_repo / name).mkdir(exist_ok=True)
        atomic_write_text(out_repo / name / "config.pbtxt", _config(staging, name))
        for version_dir in _versions(out_repo / name):
            if _same_content(version_dir, staging) and _is_signed(version_dir, key_pair.public):
                return version_dir
        return _publish(staging, out_repo / name)


def verify_package(version_dir: Path, public_key: Path | None = None) -> Package:
    """Check a version folder against its signature, and the model's `config.pbtxt` against the signed digest.

    Raises:
        UserError: anything differs from what was signed; the message names the file.
    """
    verify_folder(version_dir, public_key or trusted_key())
    manifest = read_json(version_dir / "package.json")
    if manifest["format"] != _FORMAT:
        raise UserError(f"{version_dir} has package format {manifest['format']}, this release reads {_FORMAT}")
    model_dir = version_dir.parent
    if model_dir.name != manifest["model"]:
        raise UserError(f"{model_dir} holds the model {manifest['model']!r}: give the folder that name")
    config = model_dir / "config.pbtxt"
    if config.is_symlink() or not config.is_file() or sha256_file(config) != manifest["config_sha256"]:
        raise UserError(f"{config} is missing or not the one that was signed: package the student again")
    return Package(
        path=version_dir,
        canary=Canary(**manifest["canary"]),
        hints=PromptHints(**manifest["hints"]),
        resolution=Resolution(**manifest["resolution"]),
        **{key: manifest[key] for key in ("model", "steps", "guidance_scale", "terminal_sigma")},
    )


def find_packages(repo: Path, public_key: Path | None = None) -> list[Package]:
    """The newest version of each model in `repo`, verified.

    Raises:
        UserError: there is none, or one is not what was signed.
    """
    newest = [versions[-1] for model_dir in sorted(repo.glob("*/")) if (versions := _versions(model_dir))]
    if not newest:
        raise UserError(f"{repo} holds no packaged student: make one with `rats package`")
    return [verify_package(version_dir, public_key) for version_dir in newest]


def _config(folder: Path, name: str) -> str:
    frames = read_json(folder / "student" / "rats_student.json")["resolution"]["frames"]
    return model_config(name, video=frames > 1)


def _describe(folder: Path, name: str, hints: PromptHints) -> None:
    # Torch is needed where students are drawn, not where packages are only checked.
    from serving.drawing import Drawer, Job

    facts = read_json(folder / "student/rats_student.json")
    canary = Canary(prompt=hints.examples[0] if hints.examples else "a picture", seed=0, steps=min(facts["steps"]))
    drawer = Drawer(folder / "student", facts["guidance_scale"])
    (pixels,) = drawer.draw([Job(**asdict(canary))])
    Image.fromarray(pixels.reshape(-1, *pixels.shape[-2:])).save(folder / "canary.png")
    manifest: dict[str, Any] = {
        "format": _FORMAT,
        "model": name,
        "student_sha256": sha256_tree(folder / "student"),
        "config_sha256": hashlib.sha256(_config(folder, name).encode()).hexdigest(),
        "canary": asdict(canary),
        "hints": asdict(hints),
    }
    facts = {key: facts[key] for key in ("steps", "guidance_scale", "terminal_sigma", "resolution")}
    write_json(folder / "package.json", manifest | facts)


def _versions(model_dir: Path) -> list[Path]:
    return sorted((path for path in model_dir.glob("*/") if path.name.isdecimal()), key=lambda path: int(path.name))


def _same_content(version_dir: Path, staging: Path) -> bool:
    def files(folder: Path) -> dict[str, str]:
        paths = (path for path in folder.rglob("*") if path.is_file() and path.name != SIGNATURE)
        return {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}

    return files(version_dir) == files(staging)


def _is_signed(version_dir: Path, public_key: Path) -> bool:
    try:
        verify_folder(version_dir, public_key)
    except UserError:
        return False
    return True


@contextmanager
def _staging(repo: Path) -> Iterator[Path]:
    # Inside the repository, so that publishing is one rename; Triton looks only at models it is told to load.
    repo.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=repo, prefix=".staging-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(staging: Path, model_dir: Path) -> Path:
    number = max((int(path.name) for path in _versions(model_dir)), default=0)
    while True:
        number += 1
        try:
            return staging.rename(model_dir / str(number))
        except OSError:
            if not (model_dir / str(number)).exists():
                raise
            # Another packager took this number a moment ago: take the next.
