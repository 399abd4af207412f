"""The model repository as Triton reads it: a model's versions, and the `config.pbtxt` that names the served one."""

from pathlib import Path

from rats_train.errors import UserError
from rats_train.files import atomic_write_text, read_json
from serving.protocol import ModelConfig


def versions(model_dir: Path) -> list[Path]:
    """The folders of a model's versions, oldest first."""
    return sorted((path for path in model_dir.glob("*/") if path.name.isdecimal()), key=lambda path: int(path.name))


def served_version(model_dir: Path) -> Path:
    """Folder of the version that `config.pbtxt` says is served.

    Raises:
        UserError: it names none that is there.
    """
    there = versions(model_dir)
    version_dir = model_dir / str(read_config(model_dir, any(map(_is_video, there[-1:]))).version)
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


def _is_video(version_dir: Path) -> bool:
    return bool(read_json(version_dir / "package.json")["resolution"]["frames"] > 1)
