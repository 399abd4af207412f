"""A student as a signed version in a Triton model repository, and the check that refuses anything else.

repo/student/config.pbtxt      for Triton; names the version that is served (`serving.promotion`)
repo/student/1/student/        the stock diffusers folder
               adapters/NAME/  LoRA adapters that a request may name
               package.json    what it is: steps, size, digests, the canary, hints about prompts that it knows
               canary.png      what this student draws for the canary
               scorecard.json  (when one was given)
               model.sig       over all of the above in the version's folder
"""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rats_train.errors import UserError
from rats_train.files import atomic_write_text, read_json, sha256_file, sha256_tree, write_json
from rats_train.models.adapter_file import ADAPTER_FILE, check_adapter
from rats_train.resolution import Resolution
from serving.hints import PromptHints
from serving.keys import signing_keys, trusted_key
from serving.protocol import Job, ModelConfig
from serving.signature import SIGNATURE, check_files, sign_folder, verify_folder

_FORMAT = 3
_ADAPTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
CANARY_TOLERANCE = 2.0
"""Mean difference, in levels of 255, between the canary and its picture in the package: room for another kind of
processor, none for other weights or another schedule."""


@dataclass(frozen=True)
class Package:
    """One packaged version; `path` is its folder in the model repository."""

    path: Path
    model: str
    steps: list[int]
    guidance_scale: float
    terminal_sigma: float
    resolution: Resolution
    canary: Job
    """The request whose answer is known: drawn when packaging, drawn again before a server is called ready."""
    hints: PromptHints
    adapters: list[str]
    """Names of the LoRA adapters that a request may ask for."""

    @property
    def version(self) -> int:
        """The version's number."""
        return int(self.path.name)

    @property
    def student(self) -> Path:
        """The stock diffusers folder."""
        return self.path / "student"

    def adapter(self, name: str) -> Path:
        """The folder of a LoRA adapter."""
        return self.path / "adapters" / name

    def check_canary(self, pixels: NDArray[np.uint8]) -> None:
        """Compare what was drawn for the canary with its picture.

        Raises:
            ValueError: it is another picture.
        """
        difference = np.abs(pixels.astype(float) - self.canary_pixels()).mean()
        if difference > CANARY_TOLERANCE:
            raise ValueError(
                f"{self.model} draws its canary {difference:.1f} levels away from the picture in its package"
            )

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
        prompts: what the student was trained on; its words and a few examples travel along (`serving.hints`).
        pattern: regular expression that those prompts match in lower case, where they have a grammar.
        adapters: folders or files of LoRA adapters for the student, by the names that requests call them.
        name: the model's name in the repository and at the endpoint.
        keys: folder of the signing key pair; this user's own by default, made on first use.

    Raises:
        UserError: `student_dir` is not a student, or holds a file that a package must not hold; or an adapter is none.
    """
    if not (student_dir / "rats_student.json").is_file():
        raise UserError(f"{student_dir} is not a student: it has no rats_student.json, which training writes")
    key_pair = signing_keys(keys)
    with _staging(out_repo) as staging:
        check_files(student_dir)
        shutil.copytree(student_dir, staging / "student", copy_function=shutil.copyfile)
        if scorecard is not None:
            shutil.copyfile(scorecard, staging / "scorecard.json")
        for adapter, source in (adapters or {}).items():
            _copy_adapter(adapter, source, staging)
        package = _describe(staging, name, PromptHints.from_prompts(prompts, pattern))
        sign_folder(staging, key_pair.private)
        model_dir = out_repo / name
        model_dir.mkdir(exist_ok=True)
        version_dir = _same_version(model_dir, staging, key_pair.public) or _publish(staging, model_dir)
        if not _serves(model_dir, key_pair.public):
            write_config(model_dir, ModelConfig(name, package.is_video, int(version_dir.name)))
        return version_dir


def add_version(version_dir: Path, out_repo: Path, public_key: Path) -> Path:
    """Make a packaged version of another repository the next of its model in `out_repo`; returns its folder.

    The same content is the version that it already is. A version appears whole or not at all; that serves it nowhere.

    Raises:
        UserError: it is not what was signed.
    """
    package = verify_version(version_dir, public_key)
    with _staging(out_repo) as staging:
        shutil.copytree(version_dir, staging, dirs_exist_ok=True, copy_function=shutil.copyfile)
        model_dir = out_repo / package.model
        model_dir.mkdir(exist_ok=True)
        return _same_version(model_dir, staging, public_key) or _publish(staging, model_dir)


def verify_package(version_dir: Path, public_key: Path | None = None) -> Package:
    """`verify_version`, and that the model's `config.pbtxt` is one that this release writes.

    Raises:
        UserError: anything differs; the message names the file.
    """
    package = verify_version(version_dir, public_key)
    read_config(version_dir.parent, package.is_video)
    return package


def verify_version(version_dir: Path, public_key: Path | None = None) -> Package:
    """Check a version folder against its signature.

    Raises:
        UserError: anything differs from what was signed; the message names the file.
    """
    verify_folder(version_dir, public_key or trusted_key())
    manifest = read_json(version_dir / "package.json")
    if manifest["format"] != _FORMAT:
        raise UserError(
            f"{version_dir} has package format {manifest['format']}, this release reads {_FORMAT}: package it again"
        )
    if version_dir.parent.name != manifest["model"]:
        raise UserError(f"{version_dir.parent} holds the model {manifest['model']!r}: give the folder that name")
    return _package(version_dir, manifest)


def find_packages(repo: Path, public_key: Path | None = None) -> list[Package]:
    """The served version of each model in `repo`, verified.

    Raises:
        UserError: there is none, or one is not what was signed.
    """
    models = [model_dir for model_dir in sorted(repo.glob("*/")) if versions(model_dir)]
    if not models:
        raise UserError(f"{repo} holds no packaged student: make one with `rats package`")
    return [verify_package(served_version(model_dir), public_key) for model_dir in models]


def served_version(model_dir: Path) -> Path:
    """Folder of the version that `config.pbtxt` says is served.

    Raises:
        UserError: it names none that is there.
    """
    there = versions(model_dir)
    video = any(_is_video(read_json(version_dir / "package.json")) for version_dir in there[-1:])
    version_dir = model_dir / str(read_config(model_dir, video).version)
    if version_dir not in there:
        known = ", ".join(path.name for path in there)
        raise UserError(
            f"{model_dir} is to serve version {version_dir.name}, which is not there: `rats switch` to one of {known}"
        )
    return version_dir


def read_config(model_dir: Path, video: bool) -> ModelConfig:
    """`config.pbtxt` of a model that draws pictures or videos.

    Raises:
        UserError: it is missing, or not one that this release writes: it names the code that Triton runs.
    """
    path = model_dir / "config.pbtxt"
    try:
        if path.is_symlink():
            raise ValueError("a link")
        return ModelConfig.parse(model_dir.name, video, path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is missing or not as this release writes it: package or switch again") from error


def write_config(model_dir: Path, config: ModelConfig) -> None:
    """Put `config.pbtxt` in its place; a server that watches takes it over within seconds."""
    atomic_write_text(model_dir / "config.pbtxt", config.text())


def versions(model_dir: Path) -> list[Path]:
    """The folders of a model's versions, oldest first."""
    return sorted((path for path in model_dir.glob("*/") if path.name.isdecimal()), key=lambda path: int(path.name))


def _package(version_dir: Path, manifest: dict[str, Any]) -> Package:
    return Package(
        path=version_dir,
        canary=Job(**manifest["canary"]),
        hints=PromptHints(**manifest["hints"]),
        resolution=Resolution(**manifest["resolution"]),
        **{key: manifest[key] for key in ("model", "steps", "guidance_scale", "terminal_sigma", "adapters")},
    )


def _is_video(manifest: dict[str, Any]) -> bool:
    return bool(manifest["resolution"]["frames"] > 1)


def _describe(folder: Path, name: str, hints: PromptHints) -> Package:
    """Draw the canary and write `package.json`."""
    # Torch is needed where students are drawn, not where packages are only checked.
    from serving.drawing import draw
    from serving.stepping import Stepper

    facts = read_json(folder / "student/rats_student.json")
    canary = {"prompt": hints.examples[0] if hints.examples else "a picture", "seed": 0, "steps": min(facts["steps"])}
    manifest: dict[str, Any] = {
        "format": _FORMAT,
        "model": name,
        "student_sha256": sha256_tree(folder / "student"),
        "canary": canary,
        "hints": asdict(hints),
        "adapters": sorted(path.name for path in folder.glob("adapters/*")),
        **{key: facts[key] for key in ("steps", "guidance_scale", "terminal_sigma", "resolution")},
    }
    package = _package(folder, manifest)
    (pixels,) = draw(Stepper(package), [package.canary])
    Image.fromarray(pixels.reshape(-1, *pixels.shape[-2:])).save(folder / "canary.png")
    write_json(folder / "package.json", manifest)
    return package


def _copy_adapter(name: str, source: Path, folder: Path) -> None:
    if not _ADAPTER_NAME.fullmatch(name):
        raise UserError(f"an adapter cannot be called {name!r}: use up to 64 letters, digits, - and _")
    file = source / ADAPTER_FILE if source.is_dir() else source
    check_adapter(file)
    target = folder / "adapters" / name
    target.mkdir(parents=True)
    shutil.copyfile(file, target / ADAPTER_FILE)


def _same_version(model_dir: Path, staging: Path, public_key: Path) -> Path | None:
    same = (path for path in versions(model_dir) if _same_content(path, staging) and _is_signed(path, public_key))
    return next(same, None)


def _serves(model_dir: Path, public_key: Path) -> bool:
    try:
        verify_package(served_version(model_dir), public_key)
    except UserError:
        return False
    return True


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
    number = max((int(path.name) for path in versions(model_dir)), default=0)
    while True:
        number += 1
        try:
            return staging.rename(model_dir / str(number))
        except OSError:
            if not (model_dir / str(number)).exists():
                raise
            # Another packager took this number a moment ago: take the next.
